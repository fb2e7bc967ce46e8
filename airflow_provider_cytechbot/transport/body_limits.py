"""How large an answer that is not streamed may be, decompressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_cytechbot.api.calls import Call

#: All answers of a campaign; larger ones can be streamed.
FLOW_ANSWERS_BYTES = 64 * 2**20
READ_BYTES = 16 * 2**20
WRITE_BYTES = 2**20
#: An error page is read as far as its title.
ERROR_PAGE_BYTES = 32 * 1024


def max_bytes(call: Call[Any]) -> int:
    """
    Return the limit for the answer to a call.

    :param call: The call.
    """
    if call.endpoint.slow:
        return FLOW_ANSWERS_BYTES
    return READ_BYTES if call.endpoint.verb == "GET" else WRITE_BYTES


def collect(body: bytearray, block: bytes, limit: int) -> bool:
    """
    Append a block to a body; return whether the body keeps within the limit.

    :param body: The body so far.
    :param block: The next block.
    :param limit: The bytes that the body may have. What goes beyond is cut off.
    """
    room = limit - len(body)
    body += block[:room]
    return len(block) <= room
