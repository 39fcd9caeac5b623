"""Keeps out of memory what libraries import and an idle agent never uses.

Each saving was measured (``make bench`` prints what is left); none changes what a library does: a module that is spared
is loaded when something asks it for a name after all.
"""

from __future__ import annotations

import gc
import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

_SPARED = ("inspect", "urllib.request", "ssl")
"""``dataclasses`` and paho import these for functions that the agent does not call; ``ssl`` serves TLS alone."""


class _Later(ModuleType):
    """Stands for a module until somebody wants a name of it.

    The standard library's ``LazyLoader`` does not do before Python 3.12: there the import statement itself asks for a
    name, and so loads the module.
    """

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # those who look at every module in sys.modules ask for such
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def spare_modules() -> None:
    """Call before anything else is imported."""
    for name in _SPARED:
        if name not in sys.modules:
            _spare(name)
    if "hashlib" not in sys.modules:
        # hashlib's own fall-back: without OpenSSL it takes the interpreter's SHA-256.
        sys.modules["_hashlib"] = None  # type: ignore[assignment]  # which is how the language halts an import
        import hashlib  # noqa: F401, PLC0415 - to be there before somebody needs OpenSSL's

        del sys.modules["_hashlib"]


def settle() -> None:
    """Call when everything is imported and wired: drops what the start left behind."""
    gc.collect()
    gc.freeze()


def _spare(name: str) -> None:
    module = _Later(name)
    module.__spec__ = ModuleSpec(name, None)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(importlib.import_module(parent), child, module)
