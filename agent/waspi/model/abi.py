"""The ABI description that travels with a module (``guests/ABI.md``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abi:
    """Names and numbers by which the host talks to a guest; the defaults are the reference ABI."""

    memory: str = "memory"
    """Export that is the linear memory."""
    alloc: str = "alloc"
    """Export ``(size: i32) -> i32``: address of a fresh buffer."""
    entry: str = "append"
    """Export ``(ptr: i32, size: i32) -> i32`` (new size) or ``-> i64`` (``ptr << 32 | size``)."""
    headroom: int = 30
    """Bytes that the host allocates beyond the input's size."""
    input: str | None = None
    """Type of the input, for people and tools; not interpreted."""
    output: str | None = None
    """Type of the output, for people and tools; not interpreted."""


DEFAULT_ABI = Abi()
