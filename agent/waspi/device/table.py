"""One table of a TOML file, with the dotted name by which errors call it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from waspi.errors import ConfigError


class Table:
    """A TOML table at ``path`` (dotted, for messages)."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        """The keys of this table."""
        return iter(self._values)

    def get(self, key: str) -> object:
        """The value of ``key``, ``None`` where it is missing."""
        return self._values.get(key)

    def name(self, key: str = "") -> str:
        """The dotted name of ``key`` in this table."""
        return ".".join(part for part in (self._path, key) if part)

    def fail(self, key: str, what: str) -> ConfigError:
        """The error that says what is wrong with ``key``; for the caller to raise."""
        return ConfigError(f"{self.name(key)}: {what}")

    def table(self, key: str) -> Table:
        """The table ``key`` below this one, empty where it is missing."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fail(key, f"expected a table: [{self.name(key)}]")
        return Table(value or {}, self.name(key))

    def tables(self, key: str) -> list[Table]:
        """A list of tables (``[[key]]``)."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, f"expected tables: [[{self.name(key)}]]")
        return [Table(item, f"{self.name(key)}[{number}]") for number, item in enumerate(value)]

    def only(self, known: Collection[str]) -> None:
        """Raise ``ConfigError`` for a key that is not one of ``known``, naming the nearest of them."""
        for key in self._values:
            if key not in known:
                import difflib  # noqa: PLC0415 - only where there is an error to explain

                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
                raise self.fail(key, f"unknown key; {hint}")
