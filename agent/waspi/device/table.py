"""Strict reading of one TOML table: every key has a type and bounds, and what nobody asked for is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from waspi.errors import ConfigError

Choice = TypeVar("Choice", bound=StrEnum)


class Table:
    """A TOML table at ``path`` (dotted, for messages)."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path
        self._asked: set[str] = set()

    def _take(self, key: str) -> object:
        self._asked.add(key)
        return self._values.get(key)

    def name(self, key: str = "") -> str:
        """The dotted name of ``key`` in this table."""
        return ".".join(part for part in (self._path, key) if part)

    def fail(self, key: str, what: str) -> ConfigError:
        """The error that says what is wrong with ``key``; for the caller to raise."""
        return ConfigError(f"{self.name(key)}: {what}")

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string that is not empty."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value:
            raise self.fail(key, "expected a string")
        return value

    def needed_text(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if value is None:
            raise self.fail(key, "missing")
        return value

    def path(self, key: str, base: Path, default: Path | None = None) -> Path | None:
        """A file name; a relative one is taken from ``base``."""
        value = self.text(key)
        return default if value is None else base / Path(value).expanduser()

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fail(key, f"expected a whole number from {low} to {high}, not {value!r}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(key, f"expected a number from {low} to {high}, not {value!r}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(key, "expected true or false")
        return value

    def choice(self, key: str, kind: type[Choice], default: Choice) -> Choice:
        """One of an enum's values."""
        value = self._take(key)
        if value is None:
            return default
        try:
            return kind(str(value))
        except ValueError as error:
            known = ", ".join(f'"{member}"' for member in kind)
            raise self.fail(key, f"expected one of {known}, not {value!r}") from error

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fail(key, "expected a list of strings")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A table below this one, empty where it is missing."""
        value = self._take(key)
        if value is None:
            return Table({}, self.name(key))
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a table: [{self.name(key)}]")
        return Table(value, self.name(key))

    def tables(self, key: str) -> list[Table]:
        """A list of tables (``[[key]]``)."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, f"expected tables: [[{self.name(key)}]]")
        return [Table(item, f"{self.name(key)}[{number}]") for number, item in enumerate(value)]

    def named_tables(self, key: str) -> dict[str, Table]:
        """Tables by name (``[key.name]``)."""
        below = self.table(key)
        return {name: below.table(name) for name in below}

    def __iter__(self) -> Iterator[str]:
        """The keys of this table."""
        return iter(self._values)

    def texts_by_name(self, key: str) -> dict[str, str]:
        """A table of strings."""
        below = self.table(key)
        return {name: below.needed_text(name) for name in below}

    def end(self) -> None:
        """Raise ``ConfigError`` for a key that nobody asked for, naming the nearest known one."""
        unknown = [key for key in self._values if key not in self._asked]
        if unknown:
            import difflib  # noqa: PLC0415 - only where there is an error to explain

            near = difflib.get_close_matches(unknown[0], self._asked, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(self._asked))}"
            raise self.fail(unknown[0], f"unknown key{hint}")
