"""How a repository is kept: where its keys are and how long its metadata holds (``repository.json`` in its folder)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from waspi.errors import EnvelopeError, RepositoryError
from waspi.journal.durable import write_durably
from waspi.protocol import field, json_document

FILE = "repository.json"
PUBLIC_MODE = 0o644
"""Permission bits of everything that a repository's folder holds: a web server may read it, and it has no secrets."""
MOST_DAYS = 3650

_KEYS = frozenset(("v", "keys", "days"))


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Days for which new metadata of each role holds; a device takes no update on metadata that has expired.

    The timestamp's is the longest time for which somebody in the middle can hide that there is something new, and the
    longest that the operator may be away: ``waspi repo publish`` signs anew.
    """

    root: int = 365
    targets: int = 180
    snapshot: int = 90
    timestamp: int = 14

    def expiry(self, role: str, now: datetime) -> datetime:
        """When metadata of ``role`` signed ``now`` expires; TUF has whole seconds."""
        days: int = getattr(self, role)
        return (now + timedelta(days=days)).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """What the operator chose at ``waspi repo init``."""

    keys: Path
    """Folder of the private keys; never within the repository, which is public."""
    lifetimes: Lifetimes = Lifetimes()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read; raises :class:`RepositoryError` when there is no repository in ``folder``, or its file is damaged."""
        path = folder / FILE
        try:
            document = json_document.decode_document(path.read_bytes(), str(path), max_bytes=65536)
            fields = field.envelope(document, str(path), _KEYS)
            days = field.closed(fields.get("days"), f"{path}: 'days'", frozenset(Lifetimes.__dataclass_fields__))
            lifetimes = {
                str(role): field.integer(each, f"{path}: 'days.{role}'", least=1, most=MOST_DAYS)
                for role, each in days.items()
            }
            return cls(Path(json_document.text_field(fields, "keys", str(path), longest=4096)), Lifetimes(**lifetimes))
        except FileNotFoundError as error:
            raise RepositoryError(f"{folder} is no update repository; make one with: waspi repo init") from error
        except OSError as error:
            raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
        except EnvelopeError as error:
            raise RepositoryError(error.message) from error

    def save(self, folder: Path) -> None:
        """Write durably; raises :class:`StorageError`."""
        days = {role: getattr(self.lifetimes, role) for role in Lifetimes.__dataclass_fields__}
        document = {"v": field.VERSION, "keys": str(self.keys), "days": days}
        write_durably(folder / FILE, json.dumps(document, indent=2).encode() + b"\n", mode=PUBLIC_MODE)
