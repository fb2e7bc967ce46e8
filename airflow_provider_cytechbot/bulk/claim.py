"""Claims: numbered files by which one run at a time owns a folder."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_cytechbot.api.errors import CyTechBotError, CyTechBotRequestError
from airflow_provider_cytechbot.bulk.folder import BAD_CONTENT
from airflow_provider_cytechbot.bulk.owner import SILENCE, Owner

if TYPE_CHECKING:
    from airflow_provider_cytechbot.bulk.folder import Folder

log = logging.getLogger(__name__)

VERSION = 1
#: Seconds between two heartbeats.
BEAT = 10.0
_CLAIM = re.compile(r"claim-(\d+)\.json")
_STATE = re.compile(r"state-(\d+)\.gz")
#: Each file has the number of the claim of the run that wrote it.
_OF_A_CLAIM = re.compile(r"(?:claim|beat|journal|state)-(\d+)[-.].+")
_MOST_TRIES = 20


class ClaimFile(msgspec.Struct):
    """
    The content of a claim.

    :param version: The version of the folder's format.
    :param owner: The task instance that claims.
    :param run: What all tries of the owner have in common.
    :param at: When, in seconds since 1970.
    :param based_on: The number of the newest state at that moment; 0 if there was none.
    :param shard: The shard, from 0.
    :param shards: The number of shards.
    """

    version: int
    owner: Owner
    run: str
    at: float
    based_on: int
    shard: int = 0
    shards: int = 1


class Beat(msgspec.Struct):
    """
    The content of a heartbeat.

    :param at: When, in seconds since 1970.
    :param has_ended: Whether the owner has left.
    :param is_complete: Whether it left nothing that a retry would do.
    :param state: The number of the state that it wrote; 0 if it wrote none.
    """

    at: float
    has_ended: bool = False
    is_complete: bool = False
    state: int = 0


def read_claim(folder: Folder, names: list[str]) -> tuple[ClaimFile | None, Beat | None]:
    """
    Return the newest claim and its newest heartbeat.

    :param folder: The folder.
    :param names: The names of the folder's files.
    :raises CyTechBotStorageRefusedError: The claim is lost or damaged, or a newer version wrote it.
    """
    number = newest_claim(names)
    # A claim is removed only by the owner of a newer one. Without it, its number would be given again, and
    # the files of the new run would replace those of the old one.
    if _newest_number(names) > number and _newest_number(again := folder.names()) > newest_claim(again):
        raise folder.lost(f"the file {_claim_name(_newest_number(again))}")
    if not number:
        return None, None
    name = _claim_name(number)
    try:
        content = folder.read(name)
        if msgspec.json.decode(content, type=_Version).version > VERSION:
            raise newer_version(folder)
        claim = msgspec.json.decode(content, type=ClaimFile)
    except BAD_CONTENT:
        raise folder.damaged(name) from None
    beat = None
    if _beat_name(number) in names:
        with suppress(*BAD_CONTENT):
            beat = msgspec.json.decode(folder.read(_beat_name(number)), type=Beat)
    return claim, beat


class _Version(msgspec.Struct):
    version: int


class Claim:
    """
    The right of this process to use a folder, until it ends or another process takes it over.

    :param folder: The folder.
    :param owner: The owner.
    :param shard: The shard, from 0, and the number of shards.
    :raises CyTechBotRequestError: Another run uses the folder.
    :raises CyTechBotStorageError: The folder cannot be used.
    """

    def __init__(self, folder: Folder, owner: Owner, shard: tuple[int, int] = (0, 1)) -> None:
        self._folder = folder
        self.owner = owner
        self._shard = shard
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        #: The claim before this one.
        self.previous: ClaimFile | None = None
        self.previous_beat: Beat | None = None
        self.number, self.run, self.based_on = self._take()

    def _take(self) -> tuple[int, str, int]:
        for _ in range(_MOST_TRIES):
            names = self._folder.names()
            newest = newest_claim(names)
            self.previous, self.previous_beat = read_claim(self._folder, names)
            if self.previous and not self._is_free(self.previous, self.previous_beat):
                raise self._in_use(self.previous)
            based_on = newest_state(names)
            run = self._run()
            content = ClaimFile(VERSION, self.owner, run, time.time(), based_on, *self._shard)
            if not self._folder.create(_claim_name(newest + 1), msgspec.json.encode(content)):
                continue
            if newest_claim(self._folder.names()) == newest + 1:
                return newest + 1, run, based_on
            self._folder.remove([_claim_name(newest + 1)])  # an older number than that of a live claim
        raise CyTechBotRequestError(f"several runs claim {self._folder} at once.", "Run one at a time.")

    def _is_free(self, claim: ClaimFile, beat: Beat | None) -> bool:
        if beat and beat.has_ended:
            return True
        silence = time.time() - max(claim.at, beat.at if beat else 0.0)
        if self.owner.is_same_task(claim.owner) or claim.owner.is_dead() or silence > SILENCE:
            log.info("Taking over from %s, which has ended without a result.", claim.owner)
            return True
        return False

    def _in_use(self, claim: ClaimFile) -> CyTechBotRequestError:
        return CyTechBotRequestError(
            f"{self._folder} is in use by {claim.owner}. Nothing was sent.",
            "Run one at a time (max_active_runs=1). If that one is dead, try again after "
            f"{SILENCE:.0f} seconds.",
        )

    def _run(self) -> str:
        """Return what all tries have in common. Outside of a task, that is begun work that was not ended."""
        if self.owner.is_task:
            return self.owner.digest
        previous, beat = self.previous, self.previous_beat
        if previous and not previous.owner.is_task and not (beat and beat.is_complete):
            return previous.run
        return self.owner.digest + f"{time.time_ns():x}"

    def withdraw(self) -> None:
        """Leave the folder as it was found."""
        self._folder.remove([_claim_name(self.number)])

    def remove_older(self) -> None:
        """Remove the claims before this one, which are not needed once the folder was read."""
        names = self._folder.names()
        older = [name for name in names if (found := _number_of(name)) and found < self.number]
        self._folder.remove(older)

    def check(self) -> None:
        """
        Check that the folder still belongs to this process.

        :raises CyTechBotRequestError: Another run has taken it over.
        """
        if newest_claim(self._folder.names()) > self.number:
            raise CyTechBotRequestError(f"another run or try has taken over {self._folder}.")

    def keep(self, on_lost: Callable[[CyTechBotError], None]) -> None:
        """
        Write heartbeats from now on, in a thread.

        :param on_lost: Called when another run has taken over.
        """

        def work() -> None:
            while not self._ended.wait(BEAT):
                try:
                    self._write(Beat(time.time()))
                    self.check()
                except CyTechBotRequestError as error:
                    on_lost(error)
                    return
                except CyTechBotError as error:
                    log.warning("The heartbeat could not be written: %s", error)

        self._thread = threading.Thread(target=work, name="bulk-heartbeat", daemon=True)
        self._thread.start()

    def end(self, *, is_complete: bool, state: int) -> None:
        """
        Leave the folder.

        :param is_complete: Whether nothing is left that a retry would do.
        :param state: The number of the state that was written; 0 if none was.
        """
        self._ended.set()
        if self._thread:
            self._thread.join(BEAT)
        try:
            self._write(Beat(time.time(), has_ended=True, is_complete=is_complete, state=state))
        except CyTechBotError as error:  # the next run waits until the claim is old
            log.warning("The claim could not be ended: %s", error)

    def _write(self, beat: Beat) -> None:
        self._folder.write(_beat_name(self.number), msgspec.json.encode(beat))


def newest_claim(names: list[str]) -> int:
    """Return the number of the newest claim; 0 if there is none."""
    return max((int(found[1]) for name in names if (found := _CLAIM.fullmatch(name))), default=0)


def _newest_number(names: list[str]) -> int:
    return max((int(found[1]) for name in names if (found := _OF_A_CLAIM.fullmatch(name))), default=0)


def newest_state(names: list[str]) -> int:
    """Return the number of the newest state; 0 if there is none."""
    return max((int(found[1]) for name in names if (found := _STATE.fullmatch(name))), default=0)


def is_older_state(name: str, number: int) -> bool:
    """Return whether a name is that of a state before one of a number."""
    found = _STATE.fullmatch(name)
    return bool(found and int(found[1]) < number)


def state_name(number: int) -> str:
    """Return the name of a state file."""
    return f"state-{number:06}.gz"


def newer_version(folder: Folder) -> CyTechBotError:
    """Return the error for a folder that a newer version of the provider wrote."""
    return folder.refused(
        "was written by a newer version of this provider.",
        "Update airflow-provider-cytechbot on this worker.",
    )


def _number_of(name: str) -> int:
    found: Any = _CLAIM.fullmatch(name) or re.fullmatch(r"beat-(\d+)\.json", name)
    return int(found[1]) if found else 0


def _claim_name(number: int) -> str:
    return f"claim-{number:06}.json"


def _beat_name(number: int) -> str:
    return f"beat-{number:06}.json"
