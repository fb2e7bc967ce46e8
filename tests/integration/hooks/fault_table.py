"""The faults of the fault matrix, one line each. A new fault is one more line."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from .answers import close, hang, ok, raw, reset
from .key_forms import KEY

HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(100 * 2**20), 9)
GOOD = json.dumps({"status": "success", "message": "done", "id": "1", "data": []})
LATER = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


def drops(head: bytes, drop: bytes = b" "):
    """Answer with a drop every twentieth of a second."""
    return raw(head, *[drop] * 200, seconds=0.05)


def interim(*statuses: int, body: str = GOOD):
    """Answer with interim answers before the final one."""
    lines = b"".join(f"HTTP/1.1 {status} Wait\r\nLink: </x>\r\n\r\n".encode() for status in statuses)
    final = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    return raw(lines + final, goes_on=True)


#: How a server misbehaves, by name.
FAULTS = {
    "reset": reset,
    "close": close,
    "silence": hang,
    "half a status line": raw(b"HTTP/1.1 2"),
    "headers cut off": raw(HEAD + b"Content-Le"),
    "headers in drops": drops(HEAD + b"X-Drops: ", b"x"),
    "body in drops": drops(HEAD + b"Content-Length: 9000\r\n\r\n"),
    "chunks in drops": drops(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "truncated with a length": raw(HEAD + b'Content-Length: 900\r\n\r\n{"status":'),
    "truncated chunks": raw(HEAD + b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"status"\r\n'),
    "truncated without a length": raw(HEAD + b'\r\n{"status":'),
    "interim 103": interim(103),
    "interim 102, 199, 100": interim(102, 199, 100),
    "endless interim answers": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000),
    "endless trailers": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 500_000),
    "a chunk of -1": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}"),
    "101": ok("", status="101 Switching Protocols"),
    "103 as the final answer": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    **{f"{status}": ok("", "Location: /x", status=f"{status} Moved") for status in (301, 302, 303, 307, 304)},
    **{
        f"{status} as JSON": ok(GOOD, status=f"{status} Odd")
        for status in (402, 408, 409, 418, 425, 499, 500, 522)
    },
    "429 after a success": ok(GOOD, status="429 Too Many Requests"),
    "504 in gRPC's words": ok('{"error":{"code":4,"message":"deadline exceeded"}}', status="504 Timeout"),
    "a tunnel's error as a status line": raw(b"Tunnel connection failed: 502 Bad Gateway\r\n\r\n"),
    "429": ok("slow down", status="429 Too Many Requests"),
    "429 with seconds": ok("", "Retry-After: 1", status="429 Too Many Requests"),
    "429 with a date": ok("", f"Retry-After: {LATER}", status="429 Too Many Requests"),
    "503 with seconds": ok("", "Retry-After: 1", status="503 Busy"),
    **{
        f"{status} as HTML": ok("<title>Sorry</title>", status=f"{status} Sorry")
        for status in (400, 401, 403)
    },
    **{
        f"{status} as HTML": ok("<title>Sorry</title>", status=f"{status} Sorry")
        for status in (404, 500, 502)
    },
    "600": ok("", status="600 What"),
    "200 with HTML": ok("<html><title>Login</title></html>"),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "empty": ok(""),
    "BOM": ok("\ufeff" + GOOD),
    "PHP notice": ok("<b>Notice</b>: Undefined index in x.php on line <b>5</b><br />\n" + GOOD),
    **{f"JSON {each[:12]}": ok(each) for each in ("null", "5", '"text"', "true", "{}", "[[]]", '{"0":{}}')},
    "wrong types": ok('{"status":5,"message":{"a":[1]},"id":{},"data":7}'),
    "duplicate keys": ok('{"status":"success","status":"error","message":"a","message":"b"}'),
    "deep nesting": ok("[" * 50_000),
    "NaN": ok('{"status":"success","id":NaN}'),
    "huge number": ok('{"status":"success","id":' + "9" * 10_000 + "}"),
    "invalid UTF-8": ok(b'{"status":"error","message":"\xff\xfe"}'),
    "Latin-1": ok(b'{"status":"success","message":"caf\xe9","id":"1","data":[]}'),
    "gzip that is none": ok("text", "Content-Encoding: gzip"),
    "gzip cut off": ok(gzip.compress(GOOD.encode())[:-8], "Content-Encoding: gzip"),
    "unknown coding": ok(GOOD, "Content-Encoding: br"),
    "bomb": ok(BOMB, "Content-Encoding: gzip"),
    "bomb as an error page": ok(BOMB, "Content-Encoding: gzip", status="500 Oops"),
    "negative length": raw(HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "length that is not a number": raw(HEAD + b"Content-Length: many\r\n\r\n{}"),
    "header of 200 kB": raw(HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n{}"),
    "refusal": ok('{"status":"error","message":"Something is wrong"}'),
    "refusal that repeats the key": ok(
        json.dumps({"status": "error", "message": f"No {KEY}, ann@example.com!"})
    ),
    "bad key": ok('{"status":"error","message":"API Key is required"}'),
}

#: Faults of which it is sure that nothing was done. After any other, a create without an answer that has its
#: new id may have happened.
NOTHING_DONE = {
    "429",
    "429 with seconds",
    "429 with a date",
    "400 as HTML",
    "401 as HTML",
    "403 as HTML",
    "404 as HTML",
    "duplicate keys",
    "invalid UTF-8",
    "refusal",
    "refusal that repeats the key",
    "bad key",
}
