"""One target under atheris, the coverage-guided fuzzer: ``python -m tests.fuzz.guided TARGET [libFuzzer's arguments]``.

A decoder's Python is instrumented as it is imported. ``native`` compiles and runs modules; it needs the extension
module that `tests.fuzz.instrumented` builds, as ``WASPI_FUZZ_NATIVE``. The first finding ends the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable

import atheris


def decoder(name: str) -> Callable[[bytes], object]:
    """What to call with bytes; anything it raises is a finding."""
    with atheris.instrument_imports(include=["waspi.protocol", "waspi.model"]):
        from tests.fuzz.decoders import check

    return lambda data: check(name, data)


def native() -> Callable[[bytes], object]:
    """As `decoder`; the instrumented module takes the place of the usual one."""
    fuzzer = importlib.util.find_spec("atheris.core_with_libfuzzer")
    assert fuzzer is not None
    assert fuzzer.origin is not None
    ctypes.CDLL(fuzzer.origin, mode=ctypes.RTLD_GLOBAL)  # its counters are what the instrumented module asks for
    spec = importlib.util.spec_from_file_location("waspi._wasmer", os.environ["WASPI_FUZZ_NATIVE"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["waspi._wasmer"] = module
    spec.loader.exec_module(module)
    from tests.fuzz.native_child import verdict

    return verdict


def main() -> None:
    """Fuzz until a finding, or as long as the arguments say."""
    name = sys.argv.pop(1)
    target = native() if name == "native" else decoder(name)

    def try_one(data: bytes) -> None:
        target(data)

    atheris.Setup(sys.argv, try_one, internal_libfuzzer=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
