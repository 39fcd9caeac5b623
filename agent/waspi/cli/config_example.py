"""A device's configuration as a file with every key, and as a page that explains them; both come from the one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from waspi.cli.profile import PROFILES
from waspi.device.config_key import Form, Key, Section
from waspi.device.settings import CONFIG

_COMMENT_AT = 34
"""Column of the comments."""
_HEAD = """\
# A device's configuration. Keys that are left out have the values shown here; unknown keys are errors.
# Check it with: waspi config check FILE
"""


def example() -> str:
    """A configuration with every key, its default and its purpose; read, it is the default configuration."""
    return "\n".join([_HEAD, *_tables(CONFIG, "", commented=False)]).rstrip("\n") + "\n"


def _tables(section: Section[object], path: str, *, commented: bool) -> Iterator[str]:
    """A section's keys and the tables below it; what is ``commented`` out is there to be taken in."""
    at = path
    for key in section.keys.values():
        above, _, name = key.name.rpartition(".")
        if key.form is not None:
            at = _joined(path, key.name)
            yield ""
            yield from _table(key, at, commented=commented)
            continue
        if _joined(path, above) != at:
            if at != path:
                yield ""
            at = _joined(path, above)
            yield f"[{at}]"
        yield _line(key, name, commented=commented)


def _table(key: Key, path: str, *, commented: bool) -> Iterator[str]:
    off = commented or key.form not in {Form.ONE, Form.TEXTS} or key.example is True
    if key.form is Form.NAMED:
        path = f"{path}.{key.example}"
    head = f"[[{path}]]" if key.form is Form.LIST else f"[{path}]"
    yield _commented(("# " if off else "") + head, key.comment)
    if key.section is not None:
        yield from _tables(key.section, path, commented=off)
    elif isinstance(key.example, Mapping):
        yield from (f"# {name} = {_toml(value)}" for name, value in key.example.items())


def _line(key: Key, name: str, *, commented: bool) -> str:
    off = commented or key.default is None
    shown = key.example if key.default is None or (commented and key.example) else key.default
    return _commented(f"{'# ' if off else ''}{name} = {_toml(shown)}", key.comment)


def _commented(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_AT - 1}} # {comment}" if comment else line


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _toml(value: object) -> str:
    """A value as TOML writes it; JSON's strings, numbers and lists are TOML's, too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


_PAGE = """\
# Configuration of a device

One TOML file, by default `/etc/waspi/waspi.toml`. `waspi config example` prints it with every key,
`waspi config check FILE` checks one together with the files that it names. Unknown keys are errors. File names are
taken from the folder of the configuration.

This page is written by `make docs` from the table that the agent reads by (`agent/waspi/device/settings.py`).
"""

_PROFILES_PAGE = """\
# Profiles of an operator

`~/.config/waspi/profiles.toml` (`$XDG_CONFIG_HOME/waspi/profiles.toml`) names brokers, so that no command has to:
`waspi push --profile home`. `waspi profile add` writes it. What a command line states goes before the environment
(`WASPI_BROKER`, `WASPI_FLEET`), and that before the profile. File names are taken from the folder of the file.
"""


def reference() -> str:
    """Every table and key in Markdown: type and bounds, default, purpose."""
    chapters = [_PAGE, *_chapters(CONFIG, ""), _PROFILES_PAGE, *_chapters(PROFILES, "")]
    return "\n".join(chapters).rstrip("\n") + "\n"


def _chapters(section: Section[object], path: str) -> Iterator[str]:
    at = path
    rows = False
    for key in section.keys.values():
        above = _joined(path, key.name.rpartition(".")[0])
        if rows and (key.form is not None or above != at):
            yield ""
            rows = False
        if key.form is not None:
            at = _joined(path, key.name)
            yield from _chapter(key, at)
            continue
        if above != at:
            at = above
            yield f"## `[{at}]`\n"
        if not rows:
            rows = True
            yield "| key | value | default | purpose |\n| --- | --- | --- | --- |"
        yield _row(key)
    if rows:
        yield ""


def _chapter(key: Key, at: str) -> Iterator[str]:
    head = {Form.LIST: f"[[{at}]]", Form.NAMED: f"[{at}.<name>]"}.get(key.form or Form.ONE, f"[{at}]")
    yield f"## `{head}`\n"
    if key.comment:
        yield f"{key.comment[0].upper()}{key.comment[1:]}.\n"
    if key.section is None:
        yield "Names of your own, each with a text.\n"
    else:
        yield from _chapters(key.section, f"{at}.<name>" if key.form is Form.NAMED else at)


def _row(key: Key) -> str:
    default = "needed" if key.needed else "" if key.default is None else f"`{_toml(key.default)}`"
    return f"| `{key.name.rpartition('.')[2]}` | {key.kind.said} | {default} | {_cell(key.comment)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
