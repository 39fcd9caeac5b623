"""How a job names the module that it wants to run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InlineModule:
    """The bytecode itself came with the job."""

    wasm: bytes


@dataclass(frozen=True, slots=True)
class DigestModule:
    """A module that the device already has, by the SHA-256 of its bytes."""

    sha256: str
    """64 lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class NamedModule:
    """A module that was deployed to the device under a name; without a version, the active one."""

    name: str
    version: str | None = None


ModuleRef = InlineModule | DigestModule | NamedModule
