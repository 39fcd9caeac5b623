"""The end of jobs: the result, its answer and the final state in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.device.answer import answer_to
from waspi.journal.operations import Finish, Operation
from waspi.model.result import JobError, Result
from waspi.protocol.result_envelope import encode_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from waspi.device.ledger import Ledger
    from waspi.errors import WaspiError
    from waspi.journal.rows import JobRow, OutboxRow
    from waspi.model.state import JobState
    from waspi.sandbox.cache import ModuleCache


class JobEnd:
    """Ends jobs; ``on_end(job id)`` is told when one is at its end, ``on_rows`` gets what is to be published."""

    def __init__(
        self,
        device: str,
        ledger: Ledger,
        cache: ModuleCache,
        on_rows: Callable[[tuple[OutboxRow, ...]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._device = device
        self._ledger = ledger
        self._cache = cache
        self._on_rows = on_rows
        self._on_end = on_end
        self.under_way: set[str] = set()
        """Ids of jobs whose end is not on the disk yet."""
        self.on_verdict: Callable[[str, JobError | None], None] | None = None
        """Told of each job's end: the word by which its result names its module, and its error."""

    def fail(
        self,
        row: JobRow,
        state: JobState,
        error: WaspiError,
        then: Callable[[], object] | None = None,
        before: Sequence[Operation] = (),
    ) -> None:
        """End a job that brought no output, after the operations ``before``; ``then`` is called after the commit."""
        told = JobError(error.fault, error.kind, error.message)
        self.finish(
            row, Result(row.id, self._device, state, error=told, attempt=row.attempt, module=row.label), then, before
        )

    def finish(
        self,
        row: JobRow,
        result: Result,
        then: Callable[[], object] | None = None,
        before: Sequence[Operation] = (),
    ) -> None:
        """End a job with this result."""
        encoded = encode_result(result)
        self.under_way.add(row.id)
        self._on_end(row.id)

        def ended(rows: tuple[OutboxRow, ...]) -> None:
            self.under_way.discard(row.id)
            self._cache.unpin(row.digest)
            self._on_rows(rows)
            if self.on_verdict is not None:
                self.on_verdict(row.label, result.error)
            if then is not None:
                then()

        self._ledger.enter([*before, Finish(row.id, result.state, encoded, answer_to(row, result, encoded))], ended)
