from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from tests.integration.cli.command import waspi
from tests.unit.journal.sample import a_row, commit, finished
from waspi.errors import Fault
from waspi.journal.journal import Journal
from waspi.journal.operations import Finish, Receive
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.protocol.result_envelope import encode_result


def fill(state_dir: Path) -> None:
    error = JobError(Fault.GUEST, "unreachable", "the guest panicked")
    done = Result("done", "pi-7", JobState.SUCCEEDED, (b"output",))
    failed = Result("failed", "pi-7", JobState.FAILED, error=error)
    received_at = time.time() - 7200
    with closing(Journal.open(state_dir / "journal.db")) as journal:
        rows = [a_row(job, received_at=received_at, module="append@1") for job in ("done", "failed", "waiting")]
        commit(journal, *(Receive(row) for row in rows))
        for result in (done, failed):
            ended = finished(result.id, encode_result(result), result.state, received_at=received_at, module="append@1")
            commit(journal, Finish(ended.row, True, None))


def test_list_show_and_prune(tmp_path: Path) -> None:
    fill(tmp_path)
    where = ("--state-dir", str(tmp_path))
    listed = waspi("journal", "list", *where, home=tmp_path)
    assert listed.code == 0, listed.err
    assert [line.split()[4] for line in listed.text.splitlines()[1:4]] == ["waiting", "failed", "done"]
    assert "received 3, succeeded 1, failed 1" in listed.text
    only = waspi("journal", "list", *where, "--state", "FAILED", "--json", home=tmp_path).document
    assert [job["id"] for job in only["jobs"]] == ["failed"]
    shown = waspi("journal", "show", "done", *where, "--json", home=tmp_path).document
    assert (shown["state"], shown["result"]["output"]) == ("SUCCEEDED", "output")
    lines = dict(
        line.split(maxsplit=1) for line in waspi("journal", "show", "failed", *where, home=tmp_path).text.splitlines()
    )
    assert lines["result.error.message"] == "the guest panicked"
    assert lines["received_at"].endswith("Z")
    told = waspi("journal", "show", "done", *where, home=tmp_path).text
    assert "result.output              'output'\n" in told
    assert "base64" not in told
    gone = waspi("journal", "prune", *where, "--keep", "0", "--older-than-h", "1", "--json", home=tmp_path)
    assert gone.document == {"forgotten": 2, "kept": 1}
    left = waspi("journal", "list", *where, "--json", home=tmp_path).document
    assert [job["id"] for job in left["jobs"]] == ["waiting"]
    missing = waspi("journal", "show", "done", *where, home=tmp_path)
    assert missing.code == 2
    assert "does not remember" in missing.error_line
