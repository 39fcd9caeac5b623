"""A function's folder: what ``waspi new`` makes, and ``waspi test`` and ``waspi dev`` build and run."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waspi.abi_description import abi_for_file, abi_from
from waspi.engine import Module
from waspi.errors import ConfigError, EnvelopeError, OperatorError
from waspi.fleet.repository.release_files import load_golden, run_limits
from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.limits import Limits
from waspi.protocol.terms import limits_of
from waspi.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from waspi.model.release import GoldenPair

FILE: Final = "waspi.toml"
_KEYS: Final = frozenset(("module", "build", "golden", "abi", "limits"))


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a ``waspi.toml``."""

    folder: Path
    module: Path
    """What is run: a script, or what ``build`` makes."""
    build: str | None
    """Command line for the shell, run in the folder."""
    golden_file: Path
    abi: Abi
    limits: Limits
    """Of a run: the device's, where the file states none."""

    @classmethod
    def read(cls, folder: Path) -> Project:
        """Read the folder's ``waspi.toml``. Raises :class:`ConfigError` that names the file and the key."""
        path = folder / FILE
        if not path.is_file():
            raise ConfigError(f"{folder} has no {FILE}; make a folder with: waspi new NAME --lang javascript")
        document = read_toml(path, "the project")
        unknown = sorted(set(document) - _KEYS)
        if unknown:
            raise ConfigError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
        module = _text(document, "module", path)
        if module is None:
            raise ConfigError(f"{path}: 'module' is missing: name the file that is run")
        abi = document.get("abi")
        if abi is not None and not isinstance(abi, dict):
            raise ConfigError(f"{path}: 'abi' must be a table")
        try:
            limits = run_limits(limits_of(document.get("limits", {}), str(path)))
        except EnvelopeError as error:
            raise ConfigError(error.message) from error
        return cls(
            folder,
            folder / module,
            _text(document, "build", path),
            folder / (_text(document, "golden", path) or "golden.toml"),
            abi_for_file(None if abi is None else abi_from(abi), module) or DEFAULT_ABI,
            limits,
        )

    def make(self) -> str:
        """Run the build command; what it said. Raises :class:`OperatorError` with that when it fails."""
        if self.build is None:
            return ""
        environment = {**os.environ, "PWD": str(self.folder.resolve())}
        done = subprocess.run(  # noqa: S602 - a command line of the user's own file
            self.build,
            shell=True,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            said = done.stdout.strip()
            raise OperatorError(f"`{self.build}` ended with status {done.returncode}" + (f":\n{said}" if said else ""))
        return done.stdout

    def load(self) -> Module:
        """Compile the module and check its ABI; raises what :meth:`Module.compile` and ``check_abi`` raise."""
        module = Module.compile(self.module, abi=self.abi)
        module.check_abi()
        return module

    def golden(self) -> tuple[GoldenPair, ...]:
        """The golden pairs; none where there is no file. Raises :class:`ConfigError`."""
        return load_golden(self.golden_file) if self.golden_file.exists() else ()


def _text(document: Mapping[str, object], key: str, path: Path) -> str | None:
    value = document.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigError(f"{path}: '{key}' must be text, not {value!r}")
    return value
