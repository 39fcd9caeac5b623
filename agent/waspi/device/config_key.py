"""Keys of a configuration file: each states its type, bounds, default and purpose once.

A table of the file is a :class:`Section`: the class that it is read into, and a :class:`Key` for each attribute. The
attributes of a dataclass that is made for the purpose *are* its keys (``workers: int = whole(0, 0, 256, "...")``); for
a class of another layer the keys are keyword arguments. Reader, ``waspi config example`` and ``docs/CONFIGURATION.md``
all walk the same sections.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from waspi.device.table import Table
from waspi.errors import ConfigError
from waspi.protocol.ids import is_id

_Made_co = TypeVar("_Made_co", covariant=True)
_NEEDED = object()
ID = "1 to 63 of a-z, 0-9 and '-'"
"""What an id is made of, as errors and the documentation say it."""


class Kind:
    """The type of a value: ``said`` names it in errors and in the documentation."""

    __slots__ = ("said",)

    def __init__(self, said: str) -> None:
        self.said = said

    def read(self, value: object, base: Path) -> object:
        """Check a value of the file and convert it; relative paths are taken from ``base``.

        Raises ``ValueError`` for a value of another kind, :class:`ConfigError` where there is more to say.
        """
        raise NotImplementedError


class _Number(Kind):
    __slots__ = ("high", "low", "unit", "whole")

    def __init__(self, low: float, high: float, unit: int, *, whole: bool) -> None:
        super().__init__(f"{'whole ' if whole else ''}number from {_plain(low)} to {_plain(high)}")
        self.low, self.high, self.unit, self.whole = low, high, unit, whole

    def read(self, value: object, base: Path) -> object:
        del base
        kinds = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not self.low <= value <= self.high:
            raise ValueError
        return value * self.unit if self.whole else float(value)


class _Flag(Kind):
    __slots__ = ()

    def read(self, value: object, base: Path) -> object:
        del base
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - `ValueError` is what a kind says of any wrong value
        return value


class _Text(Kind):
    __slots__ = ("convert",)

    def __init__(self, said: str, convert: Callable[[str], object]) -> None:
        super().__init__(said)
        self.convert = convert

    def read(self, value: object, base: Path) -> object:
        del base
        if not isinstance(value, str) or not value:
            raise ValueError
        return self.convert(value)


class FileKind(Kind):
    """The name of a file that the program reads (``folder``: of a folder that it writes)."""

    __slots__ = ("folder", "secret")

    def __init__(self, *, secret: bool = False, folder: bool = False) -> None:
        super().__init__("folder" if folder else "file name")
        self.secret = secret
        self.folder = folder

    def read(self, value: object, base: Path) -> object:
        """Give a ``Path``; for a secret the copy that systemd made of it, if there is one."""
        if not isinstance(value, str) or not value:
            raise ValueError
        path = (base / Path(value).expanduser()).absolute()
        return _credential(path) if self.secret else path


class _Texts(Kind):
    __slots__ = ("collect", "convert", "empty")

    def __init__(
        self,
        said: str,
        convert: Callable[[str], object],
        collect: Callable[[list[object]], object],
        *,
        empty: bool,
    ) -> None:
        super().__init__(f"list of {said}" + ("" if empty else ", not empty"))
        self.convert, self.collect, self.empty = convert, collect, empty

    def read(self, value: object, base: Path) -> object:
        del base
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each for each in value):
            raise ValueError
        if not value and not self.empty:
            raise ValueError
        return self.collect([self.convert(each) for each in value])


class Form(Enum):
    """How often a table occurs."""

    ONE = "one"
    """``[name]``; one that is missing has its defaults."""
    OPTIONAL = "optional"
    """``[name]``, or ``None``."""
    LIST = "list"
    """``[[name]]``, any number."""
    NAMED = "named"
    """``[name.<name>]``, any number; the name becomes the attribute ``name``."""
    TEXTS = "texts"
    """``[name]`` with free keys, whose values are texts."""


class Key:
    """One key, or one table, of a section."""

    __slots__ = ("comment", "default", "example", "factory", "form", "kind", "name", "needed", "section")

    def __init__(
        self,
        name: str,
        kind: Kind,
        default: object,
        comment: str,
        example: object = None,
        factory: Callable[[], object] | None = None,
    ) -> None:
        self.name = name
        """As it stands in the file, with the tables above it that its section has not: ``cache.max_mib``."""
        self.kind = kind
        self.needed = default is _NEEDED
        self.default = None if self.needed else default
        """As it stands in the file; ``None``: the key may be left out, or has to be stated."""
        self.comment = comment
        self.example = example
        self.factory = factory
        """What gives the value of a key that is left out, where that depends on the machine."""
        self.form: Form | None = None
        self.section: Section[Any] | None = None

    @property
    def initial(self) -> object:
        """The value of a key that is left out."""
        if self.factory is not None:
            return self.factory()
        return None if self.default is None else self.kind.read(self.default, Path())

    def read(self, table: Table, base: Path) -> object:
        """Read the key from its section's table. Raises :class:`ConfigError` that names it."""
        *above, name = self.name.split(".")
        for each in above:
            table = table.table(each)
        if self.form is not None:
            return self._read_tables(table, name, base)
        value = table.get(name)
        if value is None:
            if self.needed:
                raise table.fail(name, f"missing: {self.comment}")
            return self.initial
        try:
            return self.kind.read(value, base)
        except ValueError as error:
            found = "" if "password" in name else f", not {value!r}"
            raise table.fail(name, f"expected {self.kind.said}{found}") from error
        except ConfigError as error:
            raise table.fail(name, error.message) from error

    def _read_tables(self, table: Table, name: str, base: Path) -> object:
        if self.form is Form.TEXTS:
            below = table.table(name)
            return {each: _text(below, each) for each in below}
        assert self.section is not None  # noqa: S101 - every other form is made with one
        if self.form is Form.LIST:
            return tuple(self.section.read(each, base) for each in table.tables(name))
        if self.form is Form.NAMED:
            below = table.table(name)
            return tuple(self.section.read(below.table(each), base, name=_name_of(below, each)) for each in below)
        if self.form is Form.OPTIONAL and name not in table:
            return None
        return self.section.read(table.table(name), base)


class Section(Generic[_Made_co]):
    """What a table of the file is read into: ``make`` gets the value of each key by the attribute's name.

    Without ``keys``, ``make`` is a dataclass whose attributes are made by :func:`whole` and its like.
    """

    def __init__(self, make: Callable[..., _Made_co], **keys: Any) -> None:  # noqa: ANN401 - dataclasses' own type is private
        found = keys or {
            name: each
            for name, each in make.__dataclass_fields__.items()  # type: ignore[attr-defined]
            if "key" in each.metadata
        }
        self.make = make
        self.keys: dict[str, Key] = {}
        for attribute, each in found.items():
            key: Key = each.metadata["key"]
            key.name = key.name or attribute
            self.keys[attribute] = key

    def read(self, table: Table, base: Path, **given: object) -> _Made_co:
        """Read a table. Raises :class:`ConfigError` that names the key at fault, an unknown one first."""
        for above, known in self._known().items():
            there = table
            for each in above:
                there = there.table(each)
            there.only(known)
        return self.make(**given, **{attribute: key.read(table, base) for attribute, key in self.keys.items()})

    def _known(self) -> dict[tuple[str, ...], list[str]]:
        """The keys of this section's table, and of the tables that belong to it."""
        known: dict[tuple[str, ...], list[str]] = {(): []}
        for key in self.keys.values():
            parts = key.name.split(".")
            for depth, part in enumerate(parts):
                known.setdefault(tuple(parts[:depth]), []).append(part)
        return known

    def files(self, made: object) -> Iterator[tuple[str, Path]]:
        """The files that ``made``, read by this section, names: the key's name and the path."""
        for attribute, key in self.keys.items():
            value = getattr(made, attribute, None)
            if isinstance(key.kind, FileKind) and not key.kind.folder and isinstance(value, Path):
                yield key.name, value
            elif key.section is not None and value is not None:
                many = value if isinstance(value, tuple) else (value,)
                for each in many:
                    below = f"{key.name}.{each.name}" if key.form is Form.NAMED else key.name
                    yield from ((f"{below}.{name}", path) for name, path in key.section.files(each))


def whole(
    default: int | None, low: int, high: int, comment: str, *, key: str = "", unit: int = 1, example: int = 0
) -> Any:  # noqa: ANN401
    """A whole number of the file, from ``low`` to ``high``; the value is ``unit`` times that (``int``)."""
    return _field(Key(key, _Number(low, high, unit, whole=True), default, comment, example))


def number(default: float, low: float, high: float, comment: str, *, key: str = "") -> Any:  # noqa: ANN401
    """A number from ``low`` to ``high`` (``float``)."""
    return _field(Key(key, _Number(low, high, 1, whole=False), default, comment))


def flag(default: bool, comment: str, *, key: str = "") -> Any:  # noqa: ANN401
    """``true`` or ``false``."""
    return _field(Key(key, _Flag("true or false"), default, comment))


def text(
    comment: str,
    *,
    default: str | None = None,
    key: str = "",
    needed: bool = False,
    said: str = "text",
    convert: Callable[[str], object] = str,
    example: str = "",
    factory: Callable[[], object] | None = None,
) -> Any:  # noqa: ANN401
    """A text that is not empty; ``convert`` makes the value of it, raising as :meth:`Kind.read`."""
    kind = _Text(said, convert)
    return _field(Key(key, kind, _NEEDED if needed else default, comment, example, factory))


def ident(comment: str, **more: Any) -> Any:  # noqa: ANN401
    """An id of the protocol: ``a-z``, ``0-9`` and ``-``."""
    return text(comment, said=ID, convert=an_id, **more)


def an_id(value: str) -> str:
    """``value`` if it fits the grammar of ids, else ``ValueError``."""
    if not is_id(value):
        raise ValueError
    return value


def choice(default: StrEnum, comment: str, *, key: str = "") -> Any:  # noqa: ANN401
    """One of the values of ``default``'s class."""
    kind = type(default)
    return _field(Key(key, _Text(_one_of(tuple(kind)), kind), str(default), comment))


def texts(
    comment: str,
    *,
    default: tuple[str, ...] | None = (),
    key: str = "",
    of: Callable[[str], object] = str,
    said: str = "texts",
    collect: Callable[[list[object]], object] = tuple,
    empty: bool = True,
    example: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401
    """A list of texts; ``of`` checks and converts each, ``collect`` makes the value of them."""
    return _field(Key(key, _Texts(said, of, collect, empty=empty), default, comment, example))


def file(
    comment: str,
    *,
    key: str = "",
    needed: bool = False,
    secret: bool = False,
    folder: bool = False,
    example: str = "",
    factory: Callable[[], object] | None = None,
) -> Any:  # noqa: ANN401
    """A file, relative to the configuration's folder (``Path``); a ``secret`` one may be a credential of systemd."""
    kind = FileKind(secret=secret, folder=folder)
    return _field(Key(key, kind, _NEEDED if needed else None, comment, example, factory))


def table(
    section: Section[Any] | type | None,
    comment: str = "",
    *,
    key: str = "",
    form: Form = Form.ONE,
    example: object = None,
) -> Any:  # noqa: ANN401
    """A table below this one, read by ``section`` (a class stands for its own)."""
    made = Key(key, Kind("table"), None, comment, example)
    made.form = form
    made.section = Section(section) if isinstance(section, type) else section
    return _field(made)


def one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    """What checks that a text is one of ``known``."""

    def check(value: str) -> str:
        if value not in known:
            raise ConfigError(f"unknown: {value!r}; known: {', '.join(known)}")
        return value

    return check


def default_of(kind: type, attribute: str) -> Any:  # noqa: ANN401
    """The default of another layer's dataclass, so that it stands there alone."""
    return kind.__dataclass_fields__[attribute].default  # type: ignore[attr-defined]


def _field(key: Key) -> Any:  # noqa: ANN401
    """A dataclass's attribute that is ``key``."""
    if key.needed:
        return field(metadata={"key": key})
    if key.form is not None:
        return field(default_factory=_empty(key), metadata={"key": key})
    if key.factory is not None:
        return field(default_factory=key.factory, metadata={"key": key})
    return field(default=key.initial, metadata={"key": key})


def _empty(key: Key) -> Callable[[], object]:
    if key.form is Form.ONE and key.section is not None:
        section = key.section
        return lambda: section.read(Table({}), Path())
    if key.form is Form.OPTIONAL:
        return lambda: None
    return dict if key.form is Form.TEXTS else tuple


def _name_of(table: Table, name: str) -> str:
    if not is_id(name):
        raise table.fail(name, f"expected a name of {ID}")
    return name


def _text(table: Table, name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise table.fail(name, f"expected text, not {value!r}")
    return value


def _credential(path: Path) -> Path:
    """The copy that systemd's ``LoadCredential=`` made of a file that only root may read, if there is one.

    ``LoadCredential=waspi:/etc/waspi/credentials`` brings the folder's file ``x`` as ``waspi_x`` (systemd.exec(5)).
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    for each in (path.name, f"waspi_{path.name}"):
        if folder and (Path(folder) / each).exists():
            return Path(folder) / each
    return path


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _one_of(values: tuple[str, ...]) -> str:
    *most, last = (f'"{each}"' for each in values)
    return f"{', '.join(most)} or {last}" if most else last
