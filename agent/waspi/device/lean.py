"""Keeps out of memory what libraries import and an idle agent never uses.

Each saving was measured (``make bench`` prints what is left); none changes what a library does. A module that is spared
is loaded when something touches it after all.
"""

from __future__ import annotations

import gc
import importlib.util
import sys

_LAZY = ("inspect", "urllib.request")
"""``dataclasses`` and paho import these for functions that the agent does not call."""


def spare_modules(*, tls: bool) -> None:
    """Call before paho is imported. Without TLS, OpenSSL stays out too: 8 MB with all its readers."""
    for name in (*_LAZY, *(() if tls else ("ssl",))):
        if name not in sys.modules:
            _load_lazily(name)
    if not tls and "hashlib" not in sys.modules:
        # hashlib's own fall-back: without OpenSSL it takes the interpreter's SHA-256.
        sys.modules["_hashlib"] = None  # type: ignore[assignment]  # "import of _hashlib halted", as the language has it
        import hashlib  # noqa: F401, PLC0415 - to be there before somebody needs OpenSSL's

        del sys.modules["_hashlib"]


def settle() -> None:
    """Call when everything is imported and wired: drops what the start left behind."""
    gc.collect()
    gc.freeze()


def _load_lazily(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
