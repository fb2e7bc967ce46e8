"""What each HTTP status means for a call. The API itself answers 200; others come from servers before it."""

from __future__ import annotations

#: Statuses that refuse a request before the application runs, so that surely nothing was done, unless the
#: body states a success. Any other status can follow a write that was carried out: a 303 even states that
#: it was, and a 408, 409 or 5xx can come from a proxy that no longer waits for the application.
REJECTED = frozenset(
    {
        400,  # the request could not be read
        401,  # a login is needed first
        403,  # an access rule matched
        404,  # no application under this path
        405,  # the verb is not passed on
        407,  # the proxy needs a login first
        411,  # a length is needed first
        413,  # the body is too large
        414,  # the URL is too long
        415,  # this type of body is not taken
        417,  # the Expect header is refused
        421,  # the connection leads to a server of another host
        426,  # another protocol is needed first
        429,  # too many requests
        431,  # the headers are too large
    }
)


def is_success(status: int) -> bool:
    """
    Return whether the body, and not the HTTP status, has the result of a call.

    :param status: The status.
    """
    return 200 <= status < 300


def is_transient(status: int) -> bool:
    """
    Return whether the same call can get another status a moment later.

    :param status: The status. An interim one (1xx) means that no final answer was read.
    """
    return status in (408, 425, 429) or status >= 500 or 100 <= status < 200


def is_rate_limit(status: int, has_retry_after: bool) -> bool:
    """
    Return whether a status means that calls come too fast.

    :param status: The status.
    :param has_retry_after: Whether the answer names a time to wait.
    """
    return status == 429 or (status == 503 and has_retry_after)
