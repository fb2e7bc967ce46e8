from __future__ import annotations

import asyncio
import traceback

import pytest

from airflow_provider_cytechbot.api.errors import CyTechBotTransportError
from airflow_provider_cytechbot.api.frames import without_frames, without_frames_async

from ..frames import shown_by_error_trackers

SECRET = "the-secret-of-a-frame"


def fail(error):
    hidden = SECRET
    try:
        raise KeyError(len(hidden))
    except KeyError as first:
        try:
            raise ValueError(hidden[:1]) from first
        except ValueError:
            raise error  # noqa: B904 - its context is looked at


async def fail_later(error):
    await asyncio.sleep(0)
    fail(error)


def run(error, kind):
    if kind == "sync":
        without_frames(lambda: fail(error))
    asyncio.run(without_frames_async(fail_later(error)))


ERRORS = [TimeoutError, KeyboardInterrupt, SystemExit, RuntimeError, GeneratorExit]


@pytest.mark.parametrize("kind", ["sync", "async"])
class TestFrames:
    @pytest.mark.parametrize("cls", ERRORS)
    def test_no_frame_below_remains(self, cls, kind):
        with pytest.raises(cls) as caught:
            run(cls("ended"), kind)
        error = caught.value
        assert SECRET not in "".join(shown_by_error_trackers(error))
        assert error.__context__.__traceback__ is None
        assert error.__context__.__cause__.__traceback__ is None
        assert str(error) == "ended"

    def test_the_error_names_the_lines(self, kind):
        with pytest.raises(RuntimeError) as caught:
            run(RuntimeError("a bug"), kind)
        text = "".join(traceback.format_exception(caught.value))
        assert "in fail\n" in text
        assert "raise error" in text
        assert SECRET not in text

    def test_an_error_of_this_provider_gets_no_note(self, kind):
        with pytest.raises(CyTechBotTransportError) as caught:
            run(CyTechBotTransportError("it was cut off."), kind)
        assert not hasattr(caught.value, "__notes__")

    def test_an_exception_that_the_caller_handles_keeps_its_frames(self, kind):
        def handle():
            try:
                raise LookupError
            except LookupError:
                run(RuntimeError("a bug"), kind)

        with pytest.raises(RuntimeError) as caught:
            handle()
        assert isinstance(caught.value.__context__, LookupError)
        assert caught.value.__context__.__traceback__ is not None


def test_a_result_is_returned():
    assert without_frames(lambda: 5) == 5
    assert asyncio.run(without_frames_async(asyncio.sleep(0, 6))) == 6
