"""Reading all answers of a flow campaign piece by piece, so that memory does not grow with the campaign."""

from __future__ import annotations

import codecs
import re
from enum import Enum
from typing import Any, TypeAlias

from airflow_provider_cytechbot.api.decoders import (
    ReadContext,
    check_subscriber_id,
    is_empty_id,
    log_skipped,
    not_utf8,
    read_answers,
    wrong_shape,
)
from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.api.json_text import DECODER, MAX_NOTICES, clean, find_root, is_text
from airflow_provider_cytechbot.api.matching import is_same, mismatch
from airflow_provider_cytechbot.api.messages import is_failure
from airflow_provider_cytechbot.api.records import FlowAnswer

SubscriberAnswers: TypeAlias = tuple[str, list[FlowAnswer]]

#: How much is kept while one member of the answer, such as a subscriber with its answers, is not yet whole.
MAX_PENDING = 32 * 1024 * 1024

_SPACE = re.compile(r"[ \t\r\n]*")
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_COMMA_OR_END = re.compile(r"[ \t\r\n]*([,}])")


class _Place(Enum):
    """The position of the reader in the answer."""

    BEFORE_ROOT = "before the JSON"
    ROOT_MEMBER = "before a member of the answer, or its end"
    SUBSCRIBER = "before a subscriber in its data, or the data's end"
    AFTER_DATA = "after its data"
    AFTER_ROOT = "after the JSON"
    NOTHING_TO_STREAM = "in something that holds no subscribers"


class _NeedMoreError(Exception):
    """The buffer does not have the whole next piece."""


class FlowAnswersParser:
    """
    Cuts the answer of ``get_all_subscriber_flow_info`` into subscribers while it arrives.

    Feed it the body's blocks, then call :meth:`close`, which checks that the answer is whole.
    An answer without subscribers, such as an empty campaign, an error or a web page, leaves
    :attr:`is_streaming` ``False``; :attr:`head` is then the body, to be deciphered like any other.

    Each member is decoded by the standard library's parser as soon as it is in the buffer whole, so white
    space, the order of members, and traps inside texts need no care here.

    :param context: The fields of the call and the zone of the server.
    """

    def __init__(self, context: ReadContext) -> None:
        self.head = bytearray()
        self.is_streaming = False
        self.flow_name: str | None = None
        self._flow_campaign_id = ""
        self._context = context
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        #: Whether bytes that are not UTF-8 have arrived, perhaps in a notice, and in a member of the answer.
        self._has_other_bytes = self._has_lost_text = False
        self._text = ""
        self._at = 0
        #: Joined only before reading, because text that grows block by block is copied each time.
        self._waiting: list[str] = []
        self._length = 0
        self._try_at_length = 0
        self._place = _Place.BEFORE_ROOT
        self._is_first = True
        self._has_found = False
        self._skipped = 0

    def feed(self, block: bytes) -> list[SubscriberAnswers]:
        """
        Take the next block of the body and return the subscribers that it completed.

        :param block: Some bytes, cut anywhere.
        :raises CyTechBotResponseError: The answer has the wrong shape.
        """
        if not self.is_streaming:
            self.head += block
        self._take(self._decode(block))
        return self._read() if self._length >= self._try_at_length else []

    def close(self) -> list[SubscriberAnswers]:
        """
        Take the end of the body and return the subscribers that were left.

        :raises CyTechBotTransportError: The answer ended early.
        :raises CyTechBotResponseError: The answer has the wrong shape.
        """
        self._take(self._decode(b"", final=True))
        found = self._read()
        if self.is_streaming and self._place is not _Place.AFTER_ROOT:
            raise CyTechBotTransportError("the answer was cut off, or damaged, before its end.")
        if self._skipped:
            if not self._has_found:
                raise wrong_shape("no subscriber has an id")
            log_skipped(self._skipped, "subscriber id")
        return found

    def take_unread(self) -> bytes | None:
        """
        Return the text that is not read yet, for another reader; ``None`` except before a subscriber.

        Text that the other reader leaves, from the beginning of a subscriber on, can be fed to this one.
        """
        if self._place is not _Place.SUBSCRIBER:
            return None
        text = "".join([self._text[self._at :], *self._waiting])
        unread = text.encode(errors="surrogateescape") + self._decoder.getstate()[0]
        self._decoder.reset()
        self._waiting.clear()
        self._text, self._at, self._length, self._try_at_length = "", 0, 0, 0
        return unread

    def _decode(self, block: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(block, final)
        except UnicodeDecodeError:
            block = self._decoder.getstate()[0] + block
        self._has_other_bytes = True
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        return self._decoder.decode(block, final)

    def _take(self, text: str) -> None:
        self._waiting.append(text)
        self._length += len(text)

    def _read(self) -> list[SubscriberAnswers]:
        found: list[SubscriberAnswers] = []
        self._text = "".join([self._text, *self._waiting])
        self._waiting.clear()
        try:
            while True:
                self._step(found)
        except _NeedMoreError:
            self._text = self._text[self._at :]
            self._at = 0
        except RecursionError:
            raise wrong_shape("it is nested too deeply") from None
        self._length = len(self._text)
        if max(self._length, len(self.head)) > MAX_PENDING:
            raise wrong_shape(f"no subscriber ends within {MAX_PENDING} characters")
        # Waiting until the buffer has doubled keeps the cost linear, however long a member is.
        self._try_at_length = min(2 * self._length, MAX_PENDING + 1)
        return found

    def _step(self, found: list[SubscriberAnswers]) -> None:
        """Read the next piece, or raise :class:`_NeedMoreError` and leave the place as it was."""
        if self._place is _Place.BEFORE_ROOT:
            self._find_root()
        elif self._place is _Place.ROOT_MEMBER:
            self._read_root_member()
        elif self._place is _Place.SUBSCRIBER:
            self._read_subscriber(found)
        elif self._place is _Place.AFTER_DATA:
            self._leave(self._at, _Place.ROOT_MEMBER, _Place.AFTER_ROOT)
        elif self._place is _Place.AFTER_ROOT:
            self._expect_nothing()
        else:
            self._at = len(self._text)
            raise _NeedMoreError

    def _find_root(self) -> None:
        start = find_root(self._text)
        if start is None and len(self._text) <= MAX_NOTICES:
            raise _NeedMoreError
        if start is not None and self._text[start] == "{":
            self._at, self._place = start + 1, _Place.ROOT_MEMBER
        else:
            self._place = _Place.NOTHING_TO_STREAM

    def _read_root_member(self) -> None:
        if self._ended(_Place.AFTER_ROOT):
            return
        name, at = self._read_name()
        if name == "data" and self.is_streaming:
            raise wrong_shape("its data comes twice")
        if name == "data" and self._text[at] == "{":
            self._check_campaign()
            self._at, self._place, self._is_first = at + 1, _Place.SUBSCRIBER, True
            self.is_streaming = True
            self._refuse_lost_text()
            self.head.clear()
            return
        value, at = self._read_value(at)
        self._leave(at, _Place.ROOT_MEMBER, _Place.AFTER_ROOT)
        if name == "flow_name" and isinstance(value, str):
            self.flow_name = clean(value)
        if name == "id" and isinstance(value, str):
            self._flow_campaign_id = value
            if self.is_streaming:
                self._check_campaign()
        if is_failure(name, value):
            if self.is_streaming:
                raise wrong_shape("an error follows its data")
            self._place = _Place.NOTHING_TO_STREAM

    def _check_campaign(self) -> None:
        requested = self._context.fields.get("flow_campaign_id", "")
        if not is_same(self._flow_campaign_id, requested):
            raise mismatch("id", "flow_campaign_id")

    def _read_subscriber(self, found: list[SubscriberAnswers]) -> None:
        if self._ended(_Place.AFTER_DATA):
            return
        subscriber_id, at = self._read_name()
        value, at = self._read_value(at)
        self._leave(at, _Place.SUBSCRIBER, _Place.AFTER_DATA)
        answers = read_answers(value, self._context)
        if is_empty_id(subscriber_id):
            self._skipped += 1
        else:
            check_subscriber_id(subscriber_id)
            self._has_found = True
            found.append((clean(subscriber_id), answers))

    def _expect_nothing(self) -> None:
        at = self._skip_space(self._at)
        if at < len(self._text) and self.is_streaming:
            raise wrong_shape("something follows the JSON")
        self._at = at
        raise _NeedMoreError

    def _ended(self, place: _Place) -> bool:
        """Move on past an object that has no members at all."""
        at = self._skip_space(self._at)
        if not self._is_first or self._text[at : at + 1] != "}":
            return False
        self._at, self._place = at + 1, place
        return True

    def _leave(self, at: int, after_comma: _Place, after_end: _Place) -> None:
        """Move on past a member: without what follows it, a number could go on in the next block."""
        match = _COMMA_OR_END.match(self._text, at)
        if not match:
            raise _NeedMoreError
        if self._has_other_bytes and not is_text(self._text[self._at : at]):
            self._has_lost_text = True
            self._refuse_lost_text()
        self._at = match.end()
        self._place = after_comma if match[1] == "," else after_end
        self._is_first = False

    def _refuse_lost_text(self) -> None:
        if self._has_lost_text and self.is_streaming:
            raise not_utf8()

    def _read_name(self) -> tuple[str, int]:
        at = self._skip_space(self._at)
        if self._text[at : at + 1] != '"':
            raise _NeedMoreError
        name, at = self._read_value(at)
        match = _COLON.match(self._text, at)
        if not match or match.end() == len(self._text):
            raise _NeedMoreError
        return name, match.end()

    def _read_value(self, at: int) -> tuple[Any, int]:
        try:
            return DECODER.raw_decode(self._text, at)
        except ValueError:
            raise _NeedMoreError from None

    def _skip_space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at
