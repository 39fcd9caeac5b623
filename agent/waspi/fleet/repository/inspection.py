"""Looking at a module before it may become a release: what a device would refuse is refused here."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from waspi import _wasmer
from waspi.engine import Module
from waspi.errors import EnvelopeError, GoldenPairError, ModuleTooLargeError, UsageError, WaspiError
from waspi.fleet.repository.release_files import run_limits
from waspi.model.abi import ModuleFormat
from waspi.model.release import GoldenPair, Release
from waspi.protocol.ids import is_id, is_version
from waspi.protocol.release_custom import MAX_MODULE_BYTES, custom_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from waspi.model.abi import Abi
    from waspi.model.limits import Limits

_SHOWN = 60


def inspect(
    wasm: bytes, name: str, version: str, *, abi: Abi, limits: Limits, golden: tuple[GoldenPair, ...]
) -> tuple[Release, bytes]:
    """Give the release and its bytes, without debug information.

    The module is compiled within the bounds of devices, its ABI is checked and its golden pairs are run within
    ``limits``, as every device will do. Raises a :class:`GuestError` for what is wrong with it,
    :class:`CompileError`, :class:`UsageError` for a wrong name, version or too many golden pairs.
    """
    if not is_id(name) or not is_version(version):
        raise UsageError(f"{name}@{version} is no release: a name of a-z, 0-9 and -, and a version like 1.2.0")
    stripped = _stripped(wasm, abi)
    if len(stripped) > MAX_MODULE_BYTES:
        raise ModuleTooLargeError(f"the module has {len(stripped)} bytes; {MAX_MODULE_BYTES} are allowed")
    digest = hashlib.sha256(stripped).hexdigest()
    release = Release(name, version, digest, len(stripped), abi, limits, golden)
    try:
        custom_of(release)
    except EnvelopeError as error:
        raise UsageError(error.message) from error
    with Module.compile(stripped, abi=abi) as module:
        module.check_abi()
        for number, pair in enumerate(release.golden, 1):
            if wrong := _verdict(module, pair, abi, limits):
                raise GoldenPairError(f"golden pair {number} of {release.label} {wrong}")
    return release, stripped


def _stripped(module: bytes, abi: Abi) -> bytes:
    return _wasmer.strip(module) if abi.format is ModuleFormat.WASM else module


def verdicts(wasm: bytes, pairs: Iterable[GoldenPair], *, abi: Abi, limits: Limits) -> tuple[str, ...]:
    """Run the module on each pair's input: what is wrong with what it gave, and nothing where it gave its output.

    Raises a :class:`GuestError` for a module that cannot run at all.
    """
    with Module.compile(_stripped(wasm, abi), abi=abi) as module:
        module.check_abi()
        return tuple(_verdict(module, pair, abi, limits) for pair in pairs)


def record(wasm: bytes, inputs: Iterable[bytes], *, abi: Abi, limits: Limits) -> tuple[GoldenPair, ...]:
    """Run the module on ``inputs``, twice each, and keep what it gave.

    Raises the error of a run that fails, and :class:`GoldenPairError` when two runs differ: a module whose output
    depends on time or chance cannot be tested by its output.
    """
    pairs = []
    with Module.compile(_stripped(wasm, abi), abi=abi) as module:
        module.check_abi()
        for number, data in enumerate(inputs, 1):
            first, second = (module.run(data, limits=run_limits(limits)).output for _ in range(2))
            if first != second:
                raise GoldenPairError(
                    f"input {number} gave {_shown(first)} and then {_shown(second)}: an output that changes from run "
                    "to run is no golden pair"
                )
            pairs.append(GoldenPair(data, first))
    return tuple(pairs)


def _verdict(module: Module, pair: GoldenPair, abi: Abi, limits: Limits) -> str:
    try:
        output = module.run(pair.input, abi=abi, limits=run_limits(limits)).output
    except WaspiError as error:
        return f"ended with: {error.message}"
    return "" if output == pair.output else f"gave {_shown(output)} instead of {_shown(pair.output)}"


def _shown(data: bytes) -> str:
    text = ascii(data[:_SHOWN])[2:-1]
    return f"'{text}'" if len(data) <= _SHOWN else f"'{text}...' ({len(data)} bytes)"
