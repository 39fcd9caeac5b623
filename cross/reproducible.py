"""What makes two builds of the same sources the same bytes, wherever and whenever they run.

``python3 -m cross.reproducible WHEEL...`` puts a wheel that maturin has built into its final form. The rest is
for the other builders here: the environment in which cargo leaves no paths behind, and the one date that files bear.

Sources: https://reproducible-builds.org/specs/source-date-epoch/; CycloneDX 1.5, "Bill of Materials".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from cross import cache, lock
from cross.command import run
from cross.failure import Failure, exit_with
from cross.toolbox import toolbox

WRAPPER = Path(__file__).with_name("rustc-wrapper")
CHANGELOG = cache.CHECKOUT / "CHANGELOG.md"
UNRELEASED = "2026-01-01"
"""The date that files bear before the first release."""
_NAMESPACE = uuid.UUID("6f1d8f0e-4f0c-5d0c-9d55-7a3c6f6f6d61")
"""Of the serial numbers of our bills of materials (RFC 9562, version 5); drawn once."""

_CHECKOUT = re.compile(r"path\+file://[^\"#]*/(?=agent/native#)")
"""How maturin names our own crate: by the folder that it was built in."""


def epoch() -> int:
    """Seconds since 1970 that files bear: ``SOURCE_DATE_EPOCH``, else the day of the latest release in CHANGELOG.md.

    Not the time of a commit: a build is found again by its content, and has to stay what a later one would give.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    dated = re.search(r"^## \S+ - (\d{4}-\d{2}-\d{2})$", CHANGELOG.read_text(), re.MULTILINE)
    return int(datetime.fromisoformat(dated[1] if dated else UNRELEASED).replace(tzinfo=UTC).timestamp())


def environment(sources: Path) -> dict[str, str]:
    """What cargo and dpkg have to be told; ``sources`` is the folder that holds ``agent/native``."""
    return {
        "SOURCE_DATE_EPOCH": str(epoch()),
        "RUSTC_WRAPPER": str(WRAPPER),
        "WASPI_SOURCES": str(sources.resolve()),
        "DPKG_DEB_THREADS_MAX": "1",  # xz cuts its blocks by the number of threads
    }


def wrapper_name() -> str:
    """A name for what the wrapper does."""
    return cache.content([WRAPPER])[:8]


def finish(wheel: Path) -> None:
    """Complete the bill of materials, then pack the wheel anew: sorted, with one date, and a RECORD that fits.

    Raises Failure where the wheel has no bill of materials.
    """
    python = toolbox() / "python"
    with tempfile.TemporaryDirectory(dir=wheel.parent) as temporary:
        run([python, "-m", "wheel", "unpack", "--dest", temporary, wheel])
        tree = next(Path(temporary).iterdir())
        bills = list(tree.glob("*.dist-info/sboms/*.json"))
        if not bills:
            raise Failure(f"{wheel.name} has no bill of materials; maturin has made one since 1.11")
        for bill in bills:
            bill.write_text(complete(bill.read_text()))
        packed = Path(temporary) / "packed"
        packed.mkdir()
        run([python, "-m", "wheel", "pack", "--dest-dir", packed, tree], env={"SOURCE_DATE_EPOCH": str(epoch())})
        next(packed.glob("*.whl")).replace(wheel)


def complete(bill: str) -> str:
    """A CycloneDX bill of Rust's parts with Python's beside them, the release's date, a serial made of its content."""
    document = json.loads(_CHECKOUT.sub(r"path+file:///waspi/", bill))
    day = datetime.fromtimestamp(epoch(), UTC)
    document.setdefault("metadata", {})["timestamp"] = day.strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {component.get("purl") for component in document.get("components", [])}
    for component in python_components():
        if component["purl"] not in known:
            document.setdefault("components", []).append(component)
    document["components"] = sorted(document.get("components", []), key=lambda each: str(each.get("purl", "")))
    document.pop("serialNumber", None)
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}"
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


def python_components() -> list[dict[str, str]]:
    """What pip brings beside waspi: the packages that it declares, each in the version of ``requirements.lock``."""
    project = tomllib.loads((cache.CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    names = sorted({re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0].lower() for requirement in declared})
    found = []
    for name in names:
        version = lock.version(name)
        purl = f"pkg:pypi/{quote(name)}@{quote(version)}"
        found.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return found


def main() -> int:
    """Finish the wheels that are named."""
    parser = argparse.ArgumentParser(description="Put wheels that maturin has built into their final form.")
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    for wheel in parser.parse_args().wheels:
        finish(wheel)
        print(wheel)
    return 0


if __name__ == "__main__":
    exit_with(main)
