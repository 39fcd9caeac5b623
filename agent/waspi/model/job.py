"""A job, as the publisher states it."""

from __future__ import annotations

from dataclasses import field

from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.model.limits import Limits
from waspi.model.module import ModuleRef
from waspi.model.value import value


@value
class Job:
    """One piece of work: a module, one input or several, and how to treat them."""

    id: str
    """Unique per device for as long as the device remembers it; ``[a-z0-9][a-z0-9-]{0,62}``."""
    module: ModuleRef
    inputs: tuple[bytes, ...]
    batch: bool = False
    """Whether the job said ``inputs`` (a list, answered by ``outputs``) rather than ``input``."""
    abi: Abi | None = None
    """``None``: the description that came with a named module, else the default."""
    limits: Limits = field(default_factory=Limits)
    expires_at: float | None = None
    """Unix time in seconds after which the job must not start."""
    priority: int = 0
    """-100..100; higher runs first, equal ones in order of arrival."""
    audience: str | None = None
    """``device/<id>`` or ``group/<g>``; only signed jobs name it."""
    issued_at: float | None = None
    """Unix time in seconds at which it was signed: a device that has lost its memory of jobs takes none from before."""

    @property
    def effective_abi(self) -> Abi:
        """The job's own ABI description, or the default one."""
        return self.abi or DEFAULT_ABI
