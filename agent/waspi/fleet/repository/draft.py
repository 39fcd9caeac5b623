"""What was added and deployed and is not published yet (``draft.json`` in the repository's folder).

The draft is nobody's business but the operator's: devices see it when :mod:`waspi.fleet.repository.publication` has
signed it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tuf.api.metadata import TargetFile

from waspi.errors import EnvelopeError, RepositoryError
from waspi.fleet.repository.settings import PUBLIC_MODE
from waspi.journal.durable import remove_durably, write_durably
from waspi.model.deployment import Deployment
from waspi.protocol import field as wire
from waspi.protocol.deployment_document import decode_deployment, encode_deployment
from waspi.protocol.json_document import decode_document

FILE = "draft.json"
MAX_BYTES = 64 * 1024 * 1024

_KEYS = frozenset(("v", "modules", "removed", "deployments"))


@dataclass(slots=True)
class Draft:
    """Changes upon what is published."""

    modules: dict[str, TargetFile] = field(default_factory=dict)
    """By target; their bytes are in the repository already, where nothing names them yet."""
    removed: set[str] = field(default_factory=set)
    """Targets of releases that go."""
    deployments: dict[str, Deployment] = field(default_factory=dict)
    """By group."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to publish."""
        return not (self.modules or self.removed or self.deployments)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read; an empty draft when there is none. Raises :class:`RepositoryError` when it is damaged."""
        path = folder / FILE
        try:
            document = decode_document(path.read_bytes(), str(path), max_bytes=MAX_BYTES)
            fields = wire.envelope(document, str(path), _KEYS)
            return cls._read(fields)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
        except (EnvelopeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise RepositoryError(f"{path} is damaged: {error}; delete it and add what it held again") from error

    @classmethod
    def _read(cls, fields: wire.Fields) -> Self:
        modules, removed, deployments = (fields[key] for key in ("modules", "removed", "deployments"))
        if not isinstance(modules, dict) or not isinstance(removed, list) or not isinstance(deployments, dict):
            raise EnvelopeError("wrong types")
        return cls(
            {target: TargetFile.from_dict(entry, target) for target, entry in modules.items()},
            set(removed),
            {group: decode_deployment(json.dumps(document).encode()) for group, document in deployments.items()},
        )

    def save(self, folder: Path) -> None:
        """Write durably, or delete the file when there is nothing in it. Raises :class:`StorageError`."""
        if self.empty:
            remove_durably(folder / FILE)
            return
        document = {
            "v": wire.VERSION,
            "modules": {target: entry.to_dict() for target, entry in sorted(self.modules.items())},
            "removed": sorted(self.removed),
            "deployments": {
                group: json.loads(encode_deployment(each)) for group, each in sorted(self.deployments.items())
            },
        }
        write_durably(folder / FILE, json.dumps(document, indent=1).encode() + b"\n", mode=PUBLIC_MODE)
