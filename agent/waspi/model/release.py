"""A release: one version of one module, as the signed update repository describes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.limits import Limits


@dataclass(frozen=True, slots=True)
class GoldenPair:
    """An input and the output that the module must give for it, on every board, before it serves a job."""

    input: bytes
    output: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """What a device needs to know of a module before and after it fetches it."""

    name: str
    """The module's name, an id of the protocol."""
    version: str
    sha256: str
    """Of the module's bytes, 64 lower-case hexadecimal digits."""
    length: int
    """Bytes of the module."""
    abi: Abi = DEFAULT_ABI
    limits: Limits = field(default_factory=Limits)
    """What a run of it may use at most; golden pairs are run within them, and a device's own limits cap them."""
    golden: tuple[GoldenPair, ...] = ()

    @property
    def label(self) -> str:
        """``name@version`` (``str``), the word by which stages are drawn and results name it."""
        return f"{self.name}@{self.version}"
