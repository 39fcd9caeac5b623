"""Options that say how a guest is called and what it may use; the same for ``run``, ``bench`` and ``push``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from waspi.abi_description import abi_from
from waspi.cli.duration import seconds
from waspi.model.abi import Abi
from waspi.model.limits import Limits

AbiOption = Annotated[
    Path | None,
    typer.Option("--abi", metavar="FILE", help="ABI description (TOML: memory, alloc, entry, headroom)."),
]
EntryOption = Annotated[str | None, typer.Option("--entry", metavar="NAME", help="Export to call instead of append.")]
FuelOption = Annotated[int | None, typer.Option("--fuel", min=1, metavar="N", help="Wasm operators it may execute.")]
MemoryOption = Annotated[
    int | None, typer.Option("--memory-mib", min=1, max=4096, metavar="N", help="Linear memory in MiB.")
]
TimeOption = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="TIME", parser=seconds, help="How long the guest may run: 500ms, 10s."),
]
OutputOption = Annotated[
    int | None, typer.Option("--output-kib", min=1, metavar="N", help="Size of its output in KiB.")
]


def abi_of(file: Path | None, entry: str | None) -> Abi | None:
    """Read the ABI description that the options state; ``None`` when they state none."""
    if file is None and entry is None:
        return None
    description = abi_from(file)
    return description if entry is None else replace(description, entry=entry)


def limits_of(
    base: Limits, *, fuel: int | None, memory_mib: int | None, time_limit: float | None, output_kib: int | None = None
) -> Limits:
    """Give ``base`` with the options that were stated in its place."""
    return Limits(
        fuel=base.fuel if fuel is None else fuel,
        memory_bytes=base.memory_bytes if memory_mib is None else memory_mib * 1024 * 1024,
        time_ms=base.time_ms if time_limit is None else max(1, round(time_limit * 1000)),
        output_bytes=base.output_bytes if output_kib is None else output_kib * 1024,
        log_bytes=base.log_bytes,
    )
