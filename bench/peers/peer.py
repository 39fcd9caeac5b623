"""Who is measured beside waspi, in which version, on which Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Peer:
    """A library that runs WebAssembly from Python."""

    name: str
    subject: str
    """The module beside ``serve.py`` that knows how to use it."""
    requirements: tuple[str, ...]
    """Pinned, what they depend on included, so that two runs measure the same thing."""
    compiles: bool = True
    """Whether it compiles to native code; else it interprets."""
    python: str = ""
    """Version of Python that it needs, ``""`` for the one that runs the bench."""
    guest: str = ""
    """WebAssembly text beside ``serve.py`` that it runs instead of the reference guest."""
    remark: str = ""
    """What the reader of its figures has to know."""


PEERS: Final = (
    Peer("wasmtime-py", "subject_wasmtime", ("wasmtime==50.0.1",)),
    Peer(
        "wasmer-python",
        "subject_wasmer",
        ("wasmer==1.1.0", "wasmer_compiler_cranelift==1.1.0"),
        python="3.10",
        remark="dead since 2022; needs Python 3.10 on x86-64",
    ),
    Peer("pywasm3", "subject_pywasm3", ("pywasm3==0.5.0",), compiles=False, remark="an interpreter"),
    Peer(
        "extism",
        "subject_extism",
        ("extism==1.1.1", "extism-sys==1.41.0", "cffi==2.1.1", "pycparser==3.12"),
        guest="append_extism.wat",
        remark="its own plugin ABI: an equivalent guest in WebAssembly text",
    ),
)
