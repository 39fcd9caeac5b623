"""Two builds give the same bytes: what is ours of it, on a small wheel; cross.twice does a whole build."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest
from cross import reproducible
from cross.failure import Failure

BILL = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "serialNumber": "urn:uuid:00000000-0000-4000-8000-000000000000",
    "metadata": {"timestamp": "2001-02-03T04:05:06Z"},
    "components": [{"type": "library", "name": "sha2", "version": "0.10.9", "purl": "pkg:cargo/sha2@0.10.9"}],
}
NAME = "thing-1.0-py3-none-any.whl"


def wheel(folder: Path, moment: int, serial: str, *, bill: bool = True) -> Path:
    """A wheel as maturin would have written it at ``moment`` in ``folder``."""
    component = {"bom-ref": f"path+file://{folder}/agent/native#thing@1.0", "name": "thing"}
    folder.mkdir()
    members = {
        "thing/__init__.py": b"",
        "thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.4\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if bill:
        members["thing-1.0.dist-info/sboms/thing.cyclonedx.json"] = json.dumps(
            {**BILL, "serialNumber": serial, "metadata": {"component": component}}
        ).encode()
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in members.items()
    )
    members["thing-1.0.dist-info/RECORD"] = (record + "thing-1.0.dist-info/RECORD,,\n").encode()
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980 + moment, 1, 1, 0, 0, 0)), data)
    return folder / NAME


def test_another_time_and_serial_give_the_same_wheel(tmp_path: Path) -> None:
    """Dates and the random serial go; a wheel with another part in its bill stays another wheel."""
    one = wheel(tmp_path / "one", 1, "urn:uuid:11111111-1111-4111-8111-111111111111")
    other = wheel(tmp_path / "other", 20, "urn:uuid:22222222-2222-4222-8222-222222222222")
    assert one.read_bytes() != other.read_bytes()
    reproducible.finish(one)
    reproducible.finish(other)
    assert one.read_bytes() == other.read_bytes()


def test_finished_twice_is_finished_once(tmp_path: Path) -> None:
    """Whoever calls it again changes nothing."""
    file = wheel(tmp_path / "one", 1, "urn:uuid:11111111-1111-4111-8111-111111111111")
    reproducible.finish(file)
    before = file.read_bytes()
    reproducible.finish(file)
    assert file.read_bytes() == before


def test_the_bill_names_both_languages_parts() -> None:
    """Every package that pip brings stands beside Rust's crates, in the version of the lock."""
    bill = json.loads(reproducible.complete(json.dumps(BILL)))
    urls = [component["purl"] for component in bill["components"]]
    assert "pkg:cargo/sha2@0.10.9" in urls
    assert any(url.startswith("pkg:pypi/paho-mqtt@2.") for url in urls)
    assert any(url.startswith("pkg:pypi/cbor2@6.") for url in urls)
    assert urls == sorted(urls)


def test_the_serial_follows_the_content() -> None:
    """Another part, another serial (CycloneDX wants one for each content); the same parts, the same serial."""
    more = {**BILL, "components": [*BILL["components"], {"type": "library", "name": "x", "purl": "pkg:cargo/x@1"}]}
    serials = [json.loads(reproducible.complete(json.dumps(each)))["serialNumber"] for each in (BILL, more, BILL)]
    assert serials[0] == serials[2] != serials[1]
    assert serials[0].startswith("urn:uuid:")


def test_a_wheel_without_a_bill_is_refused(tmp_path: Path) -> None:
    """Nothing is shipped that does not say what is in it."""
    file = wheel(tmp_path / "one", 1, "", bill=False)
    with pytest.raises(Failure, match="no bill of materials"):
        reproducible.finish(file)


def test_the_given_date_goes_before_the_changelogs(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOURCE_DATE_EPOCH is what other builders (a distribution's) set."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert reproducible.epoch() == 1_700_000_000
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert reproducible.epoch() % 86400 == 0
    assert "SOURCE_DATE_EPOCH" not in os.environ
