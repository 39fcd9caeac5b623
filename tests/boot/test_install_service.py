"""``waspi install-service``: the packaged unit, made to fit where pip put waspi."""

from __future__ import annotations

from pathlib import Path

import pytest

from waspi.cli.install_service import install, unit
from waspi.errors import StorageError, UsageError


def test_unit_runs_the_program_that_installed_it() -> None:
    text = unit("waspi", Path("/opt/waspi/bin/waspi"))
    assert "ExecStart=/opt/waspi/bin/waspi agent --config /etc/waspi/waspi.toml" in text
    assert "ExecPaths=/usr /lib /opt/waspi\n" in text
    assert "/usr/lib/waspi" not in text


@pytest.mark.parametrize("home", ["/home/pi/venv", "/root/venv"])
def test_program_that_the_service_cannot_see_is_refused(home: str) -> None:
    with pytest.raises(UsageError, match="/opt/waspi"):
        unit("waspi", Path(home) / "bin/waspi")


def test_install_keeps_a_configuration_that_is_there(tmp_path: Path) -> None:
    first = install(tmp_path, Path("/opt/waspi/bin/waspi"))
    assert [path.name for path in first] == ["waspi.service", "waspi.toml", "credentials"]
    assert (tmp_path / "etc/waspi/credentials").stat().st_mode & 0o777 == 0o700
    (tmp_path / "etc/waspi/waspi.toml").write_text("mine")
    assert [path.name for path in install(tmp_path, Path("/opt/waspi/bin/waspi"))] == ["waspi.service"]
    assert (tmp_path / "etc/waspi/waspi.toml").read_text() == "mine"


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file in the way")
    with pytest.raises(StorageError, match="sudo"):
        install(tmp_path, Path("/opt/waspi/bin/waspi"))


def test_depot_has_a_service_and_options_of_its_own(tmp_path: Path) -> None:
    written = install(tmp_path, Path("/opt/waspi/bin/waspi"), depot=True)
    assert [path.name for path in written] == ["waspi-depot.service", "depot.env", "credentials"]
    text = written[0].read_text()
    assert "ExecStart=/opt/waspi/bin/waspi depot $WASPI_DEPOT_OPTIONS --repo /srv/waspi/repository" in text
    assert f"EnvironmentFile=/{written[1].relative_to(tmp_path)}" in text
