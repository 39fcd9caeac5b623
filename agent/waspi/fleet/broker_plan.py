"""What a broker shall be, remembered beside its configuration so that the next device is added to the same broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

from waspi.errors import ConfigError
from waspi.fleet.operator_file import PUBLIC, write_file

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "plan.json"


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """What the broker shall be; the folder holds its configuration, certificates and store."""

    folder: Path
    run_as: str
    """User that mosquitto becomes when it is started as root."""
    hosts: tuple[str, ...]
    """Names and addresses by which clients reach it; its certificate bears them."""
    fleet: str = "default"
    device_port: int = 8883
    operator_port: int = 8884
    bind: str = ""
    """Address to listen on; empty: all."""
    max_packet_kib: int = 8192
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    """Device id to its groups, of the devices that are in some."""
    leaving: list[str] = field(default_factory=list)
    """Devices that were removed here, and whose session at the broker could not be ended yet."""

    def remembered(self) -> Self:
        """Give the plan that :meth:`save` wrote to the folder, this one where there is none.

        Raises :class:`ConfigError` for a file that holds something else.
        """
        path = self.folder / FILE
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            return self
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is no JSON; mend it, or remove it and state every option again") from error
        known: dict[str, Any] = {name: value for name, value in asdict(self).items() if name != "folder"}
        known["hosts"] = list(self.hosts)
        if type(values) is not dict or any(type(value) is not type(known.get(name)) for name, value in values.items()):
            raise ConfigError(
                f"{path} does not hold what waspi broker config wrote; remove it, state every option again"
            )
        values["hosts"] = tuple(map(str, values["hosts"]))
        return replace(self, **values)

    def save(self) -> None:
        """Write it to its folder. Raises :class:`OperatorError`."""
        values = {name: value for name, value in asdict(self).items() if name != "folder"}
        write_file(self.folder / FILE, json.dumps(values, indent=2) + "\n", PUBLIC)
