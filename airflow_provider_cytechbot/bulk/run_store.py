"""The folder in which a run keeps its state and its journal: opened, owned, written and left."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_cytechbot.bulk.claim import (
    Claim,
    is_older_state,
    newer_version,
    newest_state,
    read_claim,
    state_name,
)
from airflow_provider_cytechbot.bulk.folder import BAD_CONTENT
from airflow_provider_cytechbot.bulk.journal import Head, Journal, journal_files, read_journal
from airflow_provider_cytechbot.bulk.state import Identity, RunState
from airflow_provider_cytechbot.bulk.state_file import VERSION, StateHead, StoredState, write_state

if TYPE_CHECKING:
    import sqlite3

    from airflow_provider_cytechbot.api.errors import CyTechBotError
    from airflow_provider_cytechbot.bulk.claim import Beat, ClaimFile
    from airflow_provider_cytechbot.bulk.folder import Folder
    from airflow_provider_cytechbot.bulk.owner import Owner
    from airflow_provider_cytechbot.bulk.shards import Shard

log = logging.getLogger(__name__)

_ABOUT = "about.json"
_SHARD_FOLDER = re.compile(r"shard-\d+-of-(\d+)")
_FILE_OF_A_RUN = re.compile(r"(claim|beat|journal|state)-\d")


class About(msgspec.Struct):
    """
    What a state is about.

    :param version: The version of the format.
    :param identity: The server, the operation and what else makes it a state of its own.
    :param shards: The number of shards.
    """

    version: int
    identity: dict[str, str]
    shards: int


class RunStore:
    """
    A folder with a state that lasts from run to run, or with the journal of one task instance.

    :param root: The folder.
    :param identity: What the state is about.
    :param owner: The owner.
    :param shard: The shard.
    :param database: The ledger's database.
    :param is_persistent: Whether the state stays from run to run. A journal beside a report does not.
    :param is_read_only: Whether nothing is written, not even a claim.
    :raises CyTechBotRequestError: Another run uses the folder.
    :raises CyTechBotStorageError: The folder cannot be used, or its content is lost or damaged.
    """

    def __init__(
        self,
        root: Folder,
        identity: dict[str, str],
        owner: Owner,
        shard: Shard,
        database: sqlite3.Connection,
        *,
        is_persistent: bool,
        is_read_only: bool = False,
    ) -> None:
        self._root, self._identity, self._owner, self._shard = root, identity, owner, shard
        self._is_persistent = is_persistent
        self._folder = root.child(shard.folder) if is_persistent and shard.folder else root
        self.uri = str(root)
        self._is_first = self._check_about()
        self._journal: Journal | None = None
        self._written = 0
        #: Files of other runs, whose content the newest state has.
        self._replaced: list[str] = []
        names = self._folder.names()
        self._claim = None if is_read_only else Claim(self._folder, owner, (shard.number, shard.shards))
        previous, beat = (
            (self._claim.previous, self._claim.previous_beat)
            if self._claim
            else read_claim(self._folder, names)
        )
        run = self._claim.run if self._claim else owner.digest
        self.state = RunState(database, Identity(run, owner.first_try))
        try:
            if previous and not is_persistent:
                self._check_shard(previous)
            self._load(previous, beat)
        except BaseException:
            if self._claim:
                self._claim.withdraw()
            raise

    def _check_about(self) -> bool:
        """Check that the folder is about the same. Return whether it has not been used before."""
        names = self._root.names()
        if _ABOUT not in names:
            if self._is_persistent and (trace := _trace_of_other_shards(names, self._shard)):
                raise self._root.lost(f"the file {_ABOUT}, but {trace} is there")
            return True
        try:
            about = msgspec.json.decode(self._root.read(_ABOUT), type=About)
        except BAD_CONTENT:
            raise self._root.damaged(_ABOUT) from None
        if about.version > VERSION:
            raise newer_version(self._root)
        if not self._is_persistent:
            return False
        if about.identity != self._identity:
            raise self._other_identity(about.identity)
        if about.shards != self._shard.shards:
            raise self._root.refused(
                f"holds a state of {about.shards} shards, but this task has {self._shard.shards}.",
                f"Keep shards={about.shards}, or begin with a new state_path: every row is sent again then.",
            )
        return False

    def _other_identity(self, identity: dict[str, str]) -> CyTechBotError:
        return self._root.refused(
            f"holds a state of {_described(identity)}, but this task needs one of "
            f"{_described(self._identity)}.",
            "Give each of them a state_path of its own.",
        )

    def _check_shard(self, previous: ClaimFile) -> None:
        """Check that no other shard of the same run writes the same report."""
        owner, now = previous.owner, self._owner
        is_same_run = now.is_task and (owner.dag_id, owner.run_id) == (now.dag_id, now.run_id)
        if is_same_run and previous.shards > 1 and previous.shard != self._shard.number:
            raise self._folder.refused(
                f"belongs to the report of shard {previous.shard}: report_path must differ per shard.",
                "Put the shard into report_path, for example {{ task.shard }} or {{ ti.map_index }}.",
            )

    def _load(self, previous: ClaimFile | None, beat: Beat | None) -> None:
        names = self._folder.names()
        newest = newest_state(names)
        if self._is_persistent:
            expected = max(previous.based_on, beat.state if beat else 0) if previous else 0
            is_empty = not (self._is_first or self._shard.folder or previous)
            if newest < expected or (is_empty and not newest):
                raise self._folder.lost("the file of its state")
            if newest:
                stored = StoredState(self._folder, state_name(newest))
                if stored.head.identity != self._identity:
                    raise self._other_identity(stored.head.identity)
                self.state.load(stored.entries(), stored.head.header, stored.head.salt)
                self._replaced = [name for name in names if is_older_state(name, newest)]
        self._replay(names, newest)

    def _replay(self, names: list[str], newest: int) -> None:
        files, missing = journal_files(names)
        for file in files:
            head, records = read_journal(self._folder, file)
            is_own = head.run == self.state.run
            # Beside a report, only the same task instance goes on with a journal.
            is_new = file.claim > newest if self._is_persistent else is_own
            if not is_own:
                self._replaced.append(file.name)
            if not (is_new or is_own):
                continue
            if file.claim in missing:
                raise self._folder.lost(f"the file {missing[file.claim]} of its journal")
            if self._is_persistent and head.based_on > newest:
                raise self._folder.lost("the file of its state")
            self.state.replay(head.run, head.first_try, records, is_new=is_new)

    def begin(self, on_error: Callable[[CyTechBotError], None]) -> None:
        """
        Write everything that happens from now on.

        :param on_error: Called, from another thread, when nothing can be written any more.
        """
        claim = self._claim
        if claim is None:
            return
        if not self._folder.creates_exclusively:
            log.warning(
                "%s is on a storage where two runs can begin at once: set max_active_runs=1.", self._folder
            )
        if self._is_first:
            about = About(VERSION, self._identity, self._shard.shards)
            self._root.create(_ABOUT, msgspec.json.encode(about))
            self._check_about()
        claim.remove_older()
        if not self._is_persistent:
            self._folder.remove(self._replaced)
        claim.keep(on_error)
        head = Head(claim.run, self._owner.first_try, claim.based_on)
        self._journal = Journal(self._folder, claim.number, head, claim.check, on_error)
        self.state.write_to(self._journal)

    def close_journal(self) -> None:
        """
        Make everything durable that happened.

        :raises CyTechBotError: That failed.
        """
        if self._journal:
            journal, self._journal = self._journal, None
            self.state.write_to(None)
            journal.close()

    def write_state(self) -> None:
        """Write the state after everything that happened, and remove the files that it replaces."""
        claim = self._claim
        if claim is None or not self._is_persistent or not self.state.is_changed:
            return
        claim.check()
        head = StateHead(VERSION, self._identity, self.state.stored_salt, dict(self.state.header))
        write_state(self._folder, state_name(claim.number), head, self.state.entries())
        self._written = claim.number
        older = [name for name in self._folder.names() if is_older_state(name, claim.number)]
        self._folder.remove([*self._replaced, *older])

    def end(self, *, is_complete: bool) -> None:
        """
        Leave the folder.

        :param is_complete: Whether nothing is left that a retry would do.
        """
        if self._claim:
            self._claim.end(is_complete=is_complete, state=self._written)


def _trace_of_other_shards(names: list[str], shard: Shard) -> str | None:
    """Return what is in a folder of another number of shards; its own number finds its traces itself."""
    for name in names:
        shards = _SHARD_FOLDER.fullmatch(name)
        if (int(shards[1]) != shard.shards) if shards else (shard.folder and _FILE_OF_A_RUN.match(name)):
            return name
    return None


def _described(identity: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in identity.items())
