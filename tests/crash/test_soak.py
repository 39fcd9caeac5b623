"""The soak in small: ``make soak`` is the large one."""

from __future__ import annotations

import pytest

from tests.crash import soak


def test_two_thousand_jobs_under_random_kills(capsys: pytest.CaptureFixture[str]) -> None:
    status = soak.main(["--jobs", "2000", "--kills", "12", "--minutes", "3"])
    said = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{said.splitlines()[-1]}")
    assert status == 0, said
