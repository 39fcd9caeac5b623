"""Names of the files of an update repository: targets, and the paths by which a depot or a web server serves them.

A repository is a folder of this layout, with TUF's consistent snapshots (TUF 1.0.33, 6.2 and 7)::

    metadata/timestamp.json                            the only file that is ever replaced
    metadata/<n>.root.json  <n>.snapshot.json  <n>.targets.json
    targets/modules/<name>/<sha256>.<version>.wasm     target modules/<name>/<version>.wasm
    targets/deployments/<sha256>.<group>.json          target deployments/<group>.json

What is not of this grammar is no path of a repository: neither ``..`` nor a second slash nor another folder can be
written in it.
"""

from __future__ import annotations

import re
from typing import Final

from waspi.errors import EnvelopeError
from waspi.protocol.ids import is_id, is_version, shown

METADATA: Final = "metadata/"
TARGETS: Final = "targets/"
TIMESTAMP: Final = "metadata/timestamp.json"
MAX_PATH: Final = 256
"""Characters of the longest path (213 today)."""

_ID: Final = r"[a-z0-9][a-z0-9-]{0,62}"
_VERSION: Final = r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}"
_PATH: Final = re.compile(
    rf"metadata/(?:timestamp|[1-9][0-9]{{0,8}}\.(?:root|snapshot|targets))\.json"
    rf"|targets/modules/{_ID}/[0-9a-f]{{64}}\.{_VERSION}\.wasm"
    rf"|targets/deployments/[0-9a-f]{{64}}\.{_ID}\.json"
).fullmatch
_MODULE: Final = re.compile(rf"modules/({_ID})/({_VERSION})\.wasm").fullmatch
_DEPLOYMENT: Final = re.compile(rf"deployments/({_ID})\.json").fullmatch


def is_repository_path(text: str) -> bool:
    """Whether ``text`` is the path of a file that a repository may have, relative to its folder."""
    return _PATH(text) is not None


def module_target(name: str, version: str) -> str:
    """The target of a release; raises :class:`EnvelopeError` when name or version break their grammar."""
    if not is_id(name) or not is_version(version):
        raise EnvelopeError(f"{shown(f'{name}@{version}')} is no release: an id, '@' and a version are expected")
    return f"modules/{name}/{version}.wasm"


def deployment_target(group: str) -> str:
    """The target of a group's deployment; raises :class:`EnvelopeError` when the group is no id."""
    if not is_id(group):
        raise EnvelopeError(f"{shown(group)} is no group: an id is expected")
    return f"deployments/{group}.json"


def module_of(target: str) -> tuple[str, str] | None:
    """Name and version of the release whose target this is, or ``None``."""
    match = _MODULE(target)
    return None if match is None else (match[1], match[2])


def group_of(target: str) -> str | None:
    """The group whose deployment's target this is, or ``None``."""
    match = _DEPLOYMENT(target)
    return None if match is None else match[1]


def target_path(target: str, sha256: str) -> str:
    """Where a target lies in the repository: its file name is prefixed with its hash (TUF 1.0.33, 6.2)."""
    folder, _, name = target.rpartition("/")
    return f"{TARGETS}{folder}/{sha256}.{name}"


def metadata_path(role: str, version: int | None = None) -> str:
    """Where the metadata of ``role`` lies; ``timestamp`` has no version."""
    return f"{METADATA}{role}.json" if version is None else f"{METADATA}{version}.{role}.json"
