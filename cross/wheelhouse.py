"""Collects all that ``pip install --no-index --find-links`` needs on a board without compiler or network.

``python3 -m cross.wheelhouse --target armv7``: waspi with all of its extras, for each Python of
Debian's suites.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from cross import cache, dependency, lock, rust, wheel
from cross.command import run
from cross.failure import exit_with
from cross.target import TARGETS, Target, add_target_argument

EXTRAS = ("signed", "ota", "cli")
BUILD_TOOLS = ("maturin", "mypy", "ruff", "import-linter")
"""Of the development group, what no test imports: compiled programs that PyPI does not have for every board."""


def wheelhouse(target: Target, *, tests: bool = False) -> Path:
    """The folder of wheels; with ``tests`` also what the test suite needs."""
    ours = wheel.wheel(target)
    third = third_party(target, tests=tests)
    name = f"{target.name}{'-tests' if tests else ''}-{cache.key(ours.parent.name, third.name)}"

    def build(folder: Path) -> None:
        for file in (ours, *third.glob("*.whl")):
            shutil.copy2(file, folder)

    return cache.built("wheelhouse", name, build)


def third_party(target: Target, *, tests: bool) -> Path:
    """What waspi depends on; does not change when waspi does."""
    requirements = (*_requirements(), *(test_requirements() if tests else ()))
    own = cache.content([Path(__file__), Path(dependency.__file__)])
    pythons = sorted(set(target.suites.values()))
    name = f"{target.name}-{cache.key(rust.sysroot().name, own, *pythons, *requirements, *lock.pins())}"

    def build(folder: Path) -> None:
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(lock.pins()) + "\n")
        for python in pythons:
            for missing in dependency.MISSING.get(target.name, ()):
                shutil.copy2(dependency.build(target, python, missing), folder)
            print(f"[pip   ] {target.name}, Python {python}", flush=True)
            platforms = [word for platform in target.pip_platforms for word in ("--platform", platform)]
            tags = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms]
            where: list[str | Path] = ["--find-links", folder, "--dest", folder, "-c", constraints]
            run([sys.executable, "-m", "pip", "download", "--quiet", *tags, *where, *requirements])

    return cache.built("third-party", name, build)


def test_requirements() -> list[str]:
    """What the test suite imports on the board and waspi does not."""
    development = tomllib.loads((cache.CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    return [requirement for requirement in development if not requirement.startswith(BUILD_TOOLS)]


def _requirements() -> list[str]:
    project = tomllib.loads((cache.CHECKOUT / "pyproject.toml").read_text())["project"]
    found = list(project["dependencies"])
    for extra in EXTRAS:
        found += project["optional-dependencies"][extra]
    return sorted(set(found))


def main() -> int:
    """Build, print sizes and the folder's path."""
    parser = argparse.ArgumentParser(description="Collect a board's wheels: waspi and all that it depends on.")
    add_target_argument(parser)
    parser.add_argument("--output", type=Path, help="also copy the wheels to this folder")
    arguments = parser.parse_args()
    folder = wheelhouse(TARGETS[arguments.target])
    for file in sorted(folder.glob("*.whl")):
        print(f"{file.stat().st_size / 1e6:7.2f} MB  {file.name}")
    if arguments.output:
        shutil.copytree(folder, arguments.output, dirs_exist_ok=True)
    print(folder)
    return 0


if __name__ == "__main__":
    exit_with(main)
