"""What the tests of the endpoints expect of replies."""

from __future__ import annotations


def error(message):
    return {"status": "error", "message": message}


def effects(server, endpoint):
    return [entry.took_effect for entry in server.requests(endpoint)]
