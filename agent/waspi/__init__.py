"""waspi runs WebAssembly functions on boards: here, in this process, or over MQTT on a whole fleet.

The public Python API::

    import waspi

    outcome = waspi.run(Path("append.wasm"), b"The input string")
    outcome.output                       # b"The input string<---- This is your string"

    with waspi.Module.compile(Path("append.wasm")) as module:
        module.run(b"one").output        # each call on a fresh instance
        with module.instantiate() as instance:
            instance.run(b"two").output  # guest state survives between the calls

Everything that fails raises a :class:`waspi.WaspiError`, of a class in :mod:`waspi.errors`, which says whose fault it
is and what to do. To run jobs on devices, see :class:`waspi.fleet.Client`. A module is named alike everywhere: bytes
are the module, a path is its file, and text is what :func:`waspi.model.module.text_is` says.

Names are loaded when they are first used: the agent imports ``waspi.device`` and must not drag the native module in.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not typing's: importing that would cost every worker 8 ms of its start
if TYPE_CHECKING:
    from typing import Final

    from waspi import errors
    from waspi.engine import Bounds, Canceller, Instance, Module, Outcome, run
    from waspi.errors import WaspiError
    from waspi.model.abi import Abi
    from waspi.model.limits import DEFAULT_LIMITS, Limits

__version__: Final = "0.1.0"

__all__ = [
    "DEFAULT_LIMITS",
    "Abi",
    "Bounds",
    "Canceller",
    "Instance",
    "Limits",
    "Module",
    "Outcome",
    "WaspiError",
    "__version__",
    "errors",
    "run",
]

_HOMES: Final = {
    "Abi": "waspi.model.abi",
    "Bounds": "waspi.engine",
    "Canceller": "waspi.engine",
    "DEFAULT_LIMITS": "waspi.model.limits",
    "Instance": "waspi.engine",
    "Limits": "waspi.model.limits",
    "Module": "waspi.engine",
    "Outcome": "waspi.engine",
    "WaspiError": "waspi.errors",
    "run": "waspi.engine",
}


def __getattr__(name: str) -> object:
    """Load a public name where it lives (PEP 562)."""
    from importlib import import_module  # noqa: PLC0415 - only who uses the API pays for it

    if name == "errors":
        return import_module("waspi.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'waspi' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
