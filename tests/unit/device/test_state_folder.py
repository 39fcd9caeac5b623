"""Whose the state folder is, behind the link that systemd makes for a service with a user of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from waspi.device.state_folder import faults_of

STRANGER = 65534


@pytest.fixture
def link(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "waspi").symlink_to("private")
    return tmp_path / "waspi"


def test_the_users_own_link_is_followed(link: Path) -> None:
    assert list(faults_of(link, os.geteuid())) == []
    (link / "private").mkdir(mode=0o777)
    (link / "private").chmod(0o777)
    assert [fault for fault, _ in faults_of(link, os.geteuid())] == [f"others may write {link / 'private'}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_roots_link_leads_to_the_services_folder_and_a_strangers_nowhere(link: Path) -> None:
    service = 64008
    os.chown(link, service, service)
    assert list(faults_of(link, service)) == []
    assert [fault for fault, _ in faults_of(link, 1234)] == [f"{link} belongs to user {service}, not to user 1234"]
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    found = [fault for fault, _ in faults_of(link, service)]
    assert found == [f"{link} belongs to user {STRANGER}, not to user {service}"]
