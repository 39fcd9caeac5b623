"""The journal: every job the device took in, its result, and every message that still has to reach the broker.

SQLite in WAL mode with ``synchronous = FULL``: what :meth:`Journal.commit` returned from survives a power cut. One
connection writes (:mod:`waspi.journal.writer`), one reads (:attr:`Journal.reader`, the loop's).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from waspi.errors import IllegalTransitionError, StorageError
from waspi.journal import connection as connections
from waspi.journal.connection import DAMAGE, open_for_writing, primary_code, translated
from waspi.journal.counters import CounterFile, Counters
from waspi.journal.damage import condemn, condemned, examine, set_aside
from waspi.journal.durable import remove_leftovers, write_durably
from waspi.journal.operations import Operation
from waspi.journal.quotas import Admission, Quotas, Usage, admission, may_start
from waspi.journal.reader import Reader
from waspi.journal.rows import OutboxRow
from waspi.journal.schema import FINISHED_COLUMNS, check_version, migrate
from waspi.journal.tally import Tally, count
from waspi.journal.transaction import Transaction

_log = logging.getLogger(__name__)

Outcome: TypeAlias = OutboxRow | IllegalTransitionError | None
"""What became of an operation: the outbox row that it made, if any, or why it was not done."""


_POLL_S = 0.01
"""Seconds between two tries of a journal that another process has locked."""


@dataclass(slots=True)
class Prepared:
    """A transaction that is done but for its COMMIT."""

    outcomes: list[Outcome]
    tally: Tally


class Journal:
    """An open journal. Made by :meth:`open`."""

    def __init__(
        self, path: Path, quotas: Quotas, lock: int, *, durable: bool = True, now: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.quotas = quotas
        self.damage: tuple[str, ...] = ()
        """What was found wrong at start and set aside, one line each: to be reported once."""
        self._lock = lock
        self._now = now
        self._loss = path.with_name(f"{path.stem}-lost-at")
        self.memory_since = 0.0
        """Unix seconds at which the memory of jobs was lost the last time; 0 if it never was."""
        self._durable = durable
        self._counters = CounterFile(path.with_name(f"{path.stem}-counters.json"))
        self._connection: sqlite3.Connection | None = None
        self._tally = Tally()
        self._data_version = 0
        self.reader: Reader

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        quotas: Quotas | None = None,
        durable: bool = True,
        now: Callable[[], float] = time.time,
    ) -> Journal:
        """Open the journal at ``path`` or start one; the folder has to exist.

        Checks the file (``quick_check``, schema version), brings its schema up to date and counts this boot. A damaged
        file is set aside as ``<name>-damaged-<n>.db``, told in :attr:`damage`, and a new one is started; the counters
        go on. Raises :class:`~waspi.errors.StorageError` when the disk is full or does not answer, or when another
        process has the journal open for writing.

        ``durable=False`` leaves it to the kernel when commits reach the disk: they survive a crash of the agent, but
        the last ones before a power cut may be lost. ``now`` gives Unix seconds: when the memory of jobs is lost, that
        is noted (:attr:`memory_since`).
        """
        lock = _lock(path)
        journal = cls(path, quotas or Quotas(), lock, durable=durable, now=now)
        try:
            remove_leftovers(path.parent)
            journal._open()
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def counters(self) -> Counters:
        """Totals over the life of the device, as of the last commit. From any thread."""
        return self._tally.counters()

    @property
    def durable(self) -> bool:
        """Whether a commit waits until the disk has it (``bool``)."""
        return self._durable

    @property
    def boot(self) -> int:
        """Number of this boot, 1 for the first."""
        return self._tally.boots

    @property
    def usage(self) -> Usage:
        """How full the journal is, as of the last commit. From any thread."""
        return self._tally.usage()

    def may_start(self, under_way_bytes: int = 0) -> bool:
        """Whether jobs may start: the outbox has room for results (:mod:`waspi.journal.quotas`).

        ``under_way_bytes``: bytes of results that are on their way into it.
        """
        return may_start(self._tally, self.quotas, under_way_bytes)

    def admission(self, jobs: int, body_bytes: int) -> Admission:
        """What to do with a new job: ``jobs`` and ``body_bytes`` are it and those that are not in the journal yet."""
        return admission(self._tally, self.quotas, jobs, body_bytes)

    def commit(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Do the operations in order, in one transaction; what became of each.

        One that the state table forbids is left out and the others are done. Raises
        :class:`~waspi.errors.StorageError` when the disk refuses: then nothing was done (though after a crash right now
        all of it may turn out to have been), and the same call may be repeated.
        """
        prepared = self.prepare(operations)
        assert prepared is not None  # noqa: S101 - only who is impatient may get nothing
        return self.complete(prepared)

    def prepare(self, operations: Sequence[Operation], *, patient: bool = True) -> Prepared | None:
        """All of :meth:`commit` but the COMMIT: nothing of it waits for the disk to write.

        Unless ``patient``, ``None`` comes back where it would take long: another process has the journal locked, or it
        has to be opened again first. For one thread at a time, and not between a :meth:`prepare` and its
        :meth:`complete`. Raises as :meth:`commit` does.
        """
        if self._connection is None and not patient:
            return None
        try:
            try:
                return self._transact(operations, isolated=False, patient=patient)
            except IllegalTransitionError:
                return self._transact(operations, isolated=True, patient=patient)
        except sqlite3.Error as error:
            if not patient and primary_code(error) == sqlite3.SQLITE_BUSY:
                return None
            self._abandon(error)
            raise translated("write", self.path, error) from error
        except StorageError:
            self._roll_back()
            raise

    def complete(self, prepared: Prepared) -> list[Outcome]:
        """COMMIT what was prepared; what became of each operation. Raises as :meth:`commit` does."""
        connection = self._connect()
        try:
            self._counters.reserve(prepared.tally.counters())
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon(error)
            raise translated("write", self.path, error) from error
        except StorageError:
            self._roll_back()
            raise
        self._tally = prepared.tally
        return prepared.outcomes

    def covers(self, prepared: Prepared) -> bool:
        """Whether the COMMIT needs no write of the counters' file before it (``bool``)."""
        return self._counters.reserved.covers(prepared.tally.counters())

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database.

        What cannot be copied now is copied the next time.
        """
        with contextlib.suppress(sqlite3.Error):
            self._connect().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close the connections and release the lock. The writer has to be stopped before."""
        if hasattr(self, "reader"):
            self.reader.close()
        self._disconnect()  # the last one to go copies the log into the database
        os.close(self._lock)

    def _open(self) -> None:
        found = self._counters.read()
        damage = [found] if found else []
        self.memory_since = _loss_at(self._loss)
        reason = condemned(self.path)
        if reason is None:
            reason = self._connect_checked()
        if reason is not None:
            self._disconnect()
            self._note_loss()  # before: what follows may be cut short
            target = set_aside(self.path, reason)
            damage.append(
                f"the journal was damaged ({reason}) and is set aside as {target.name if target else 'nothing'}"
            )
            reason = self._connect_checked()
            if reason is not None:
                raise StorageError(f"a new journal at {self.path} is damaged at once ({reason}); check the disk")
        for line in damage:
            _log.error("%s", line)
        self.damage = tuple(damage)
        self.reader = Reader(self.path)

    def _connect_checked(self) -> str | None:
        try:
            connection = self._connect()
            check_version(connection, self.path)
            reason = examine(connection)
            if reason is None:
                migrate(connection)
                self._begin_boot(connection)
        except sqlite3.Error as error:
            if primary_code(error) in DAMAGE:
                return str(error)
            raise translated("open", self.path, error) from error
        return reason

    def _begin_boot(self, connection: sqlite3.Connection) -> None:
        tally = count(connection)
        before = tally.counters()
        reserved = self._counters.reserved
        # A sound journal knows its totals exactly; a new one goes on from what was reserved. Ids of messages leave no
        # trace once they are sent, so that they always go on from there.
        lost = reserved.boots > before.boots
        tally.boots = max(before.boots, reserved.boots) + 1
        tally.next_outbox = max(before.next_outbox, reserved.next_outbox)
        if lost:
            tally.next_seq = max(before.next_seq, reserved.next_seq)
            tally.received = max(before.received, reserved.received)
            for state, column in FINISHED_COLUMNS.items():
                tally.finished[state] = max(tally.finished[state], getattr(reserved, column))
        after = tally.counters()
        if lost:
            self._note_loss()
        columns = {"boots": after.boots, "next_outbox": after.next_outbox, "next_seq": after.next_seq}
        _begin(connection, patient=True)
        assignments = ", ".join(f"{column} = {value}" for column, value in columns.items())
        rises = ", ".join(
            f"{column} = {column} + {getattr(after, column) - getattr(before, column)}"
            for column in ("received", *FINISHED_COLUMNS.values())
        )
        connection.execute(f"UPDATE meta SET {assignments}, {rises}")  # noqa: S608 - numbers and names of ours
        connection.execute("COMMIT")
        # After the commit: a file that is ahead of the journal means that the journal was lost.
        self._counters.reserve(after)
        self._tally = tally
        self._data_version = _data_version(connection)
        _hurry(connection)

    def _note_loss(self) -> None:
        """The memory of jobs is gone: jobs from before cannot be told from replays."""
        at = self._now()
        if at > self.memory_since:
            write_durably(self._loss, f"{at:.0f}".encode())
            self.memory_since = at

    def _recount(self, connection: sqlite3.Connection) -> None:
        """Count again what another process, or a fresh connection, may have changed; ids go on."""
        tally = count(connection)
        tally.next_seq = max(tally.next_seq, self._tally.next_seq)
        tally.next_outbox = max(tally.next_outbox, self._tally.next_outbox)
        self._tally = tally

    def _transact(self, operations: Sequence[Operation], *, isolated: bool, patient: bool) -> Prepared:
        connection = self._connect()
        if self._data_version < 0:
            _hurry(connection)
        _begin(connection, patient=patient)
        try:
            version = _data_version(connection)
            if version != self._data_version:  # `waspi journal prune`, another process, has changed the tables
                self._recount(connection)
                self._data_version = version
            transaction = Transaction(connection, self._tally.copy(), self.quotas)
            if isolated:
                outcomes = [self._one(connection, transaction, operation) for operation in operations]
            else:
                outcomes = [transaction.apply(operation) for operation in operations]
            transaction.make_room()
            transaction.flush()
        except IllegalTransitionError:
            connection.execute("ROLLBACK")
            raise
        return Prepared(outcomes, transaction.tally)

    def _one(self, connection: sqlite3.Connection, transaction: Transaction, operation: Operation) -> Outcome:
        """Do one operation of a batch in which some are illegal."""
        before = transaction.tally.copy()
        connection.execute("SAVEPOINT one")
        try:
            outcome: Outcome = transaction.apply(operation)
            transaction.flush()
        except IllegalTransitionError as error:
            connection.execute("ROLLBACK TO one")
            transaction.forget(before)
            outcome = error
        connection.execute("RELEASE one")
        return outcome

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_for_writing(self.path, self.quotas, durable=self._durable)
            self._data_version = -1  # counts per connection: count again
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()

    def _abandon(self, error: sqlite3.Error) -> None:
        """Roll back what SQLite has not rolled back itself; start from a fresh connection where the disk failed."""
        self._roll_back()
        if primary_code(error) in DAMAGE:
            with contextlib.suppress(StorageError):
                condemn(self.path, str(error))
        if primary_code(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}:
            self._disconnect()


def _loss_at(path: Path) -> float:
    try:
        return float(path.read_bytes())
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError):
        return path.lstat().st_mtime  # damaged, and surely written when it says


def _hurry(connection: sqlite3.Connection) -> None:
    """From here on who waits for another process does so on purpose: SQLite never makes the loop's thread wait."""
    connection.execute("PRAGMA busy_timeout = 0")


def _begin(connection: sqlite3.Connection, *, patient: bool) -> None:
    give_up = time.monotonic() + connections.BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not patient or primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _data_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _lock(path: Path) -> int:
    """Descriptor of the lock file, locked for as long as it is open: two agents on one journal would run jobs twice."""
    name = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"cannot open {name}: {error.strerror}; check that the folder exists and its owner"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StorageError(f"{path} is in use by another waspi agent; stop that one first") from error
    return descriptor
