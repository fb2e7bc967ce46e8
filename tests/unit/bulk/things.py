"""A resource for tests of the bulk engine: things that are painted."""

from __future__ import annotations

import asyncio
from functools import partial

from airflow_provider_cytechbot.bulk.resource import Change, InvalidRowError, PlannedWrite, Settled, Written

DONE = Written(True, "", None, b"painted")


class Things:
    """Rows have a key and a color. The state keeps the color."""

    identity = {"operation": "paint", "house": "1"}  # noqa: RUF012
    key_field = "key"
    fields = ("key", "color")
    finds_gone_keys = False
    is_repeatable = True
    step = None

    def __init__(self):
        self.sent = []
        self.prepared = []
        self.figures = None
        self.state = None
        self.entries = {}
        #: By key: what a call gets, a result, an error, or a function that makes one.
        self.responses = {}

    def open_state(self, state):
        self.state = state

    def plan(self, values):
        if not values.get("key"):
            raise InvalidRowError("no key")
        color = str(values.get("color") or "red")
        return PlannedWrite(str(values["key"]), color, "color")

    def merge(self, payload, other):
        return payload if payload == other else f"{payload}{other}"

    def compare(self, write, entry):
        self.entries[write.key] = entry
        if entry.step is not None and not self.is_repeatable:
            return Settled("ambiguous", "held", "paint")
        if entry.value == write.payload.encode():
            return Settled("unchanged", "painted before")
        return Change("paint", write.payload, write.fields, self.is_repeatable, self.step)

    def gone(self, key, entry):
        return Change("delete", "", "", is_repeatable=True, phase=1)

    def describe(self, payload):
        return payload

    def check(self, figures, *, plan_only):
        self.figures = figures

    def prepare(self, *, plan_only):
        self.prepared.append(plan_only)

    async def write(self, hook, call, steps):
        self.sent.append(call.key)
        await asyncio.sleep(0.001)
        value = None if call.operation == "delete" else call.payload.encode()
        response = self.responses.get(call.key, Written(True, "", None, value))
        if isinstance(response, partial):
            response = await response(steps)
        elif callable(response):
            response = response()
        if isinstance(response, BaseException):
            raise response
        return response
