"""Compiled code of one machine on another: the fingerprint must refuse it, since the engine itself would not.

Wasmer loads an artifact for another processor without a word and dies at the first call; so each side is given the
other's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cross import cache
from cross.command import run
from cross.failure import Failure
from cross.inside import inside

GUEST = "build/guests/append-wat.wasm"
COMPILE = "from waspi import _wasmer as w, errors; import sys; a, b = sys.argv[1:3]\n"
MAKE = COMPILE + "open(b, 'wb').write(w.Module.compile(open(a, 'rb').read()).serialize())\n"
LOAD = (
    COMPILE
    + """
own, other = open(a, 'rb').read(), open(b, 'rb').read()
print(w.Module.load(own).run(b'x').output.decode())
try:
    w.Module.load(other)
except errors.ArtifactError as error:
    print('refused:', error.message)
else:
    sys.exit('a foreign artifact was loaded')
"""
)


def check_foreign_artifacts(root: Path) -> None:
    """Exchange artifacts between this machine and the emulated board; Failure when either takes the other's."""
    guest = cache.CHECKOUT / GUEST
    shared = root / "root"
    (shared / "guest.wasm").write_bytes(guest.read_bytes())
    here = [sys.executable, "-c"]
    env = {"PYTHONPATH": str(cache.CHECKOUT / "agent")}
    run([*here, MAKE, guest, shared / "host.aot"], env=env)
    run(inside(root, ["python", "-c", MAKE, "/root/guest.wasm", "/root/board.aot"]))
    told = {
        "this machine": run([*here, LOAD, shared / "host.aot", shared / "board.aot"], env=env),
        "the board": run(inside(root, ["python", "-c", LOAD, "/root/board.aot", "/root/host.aot"])),
    }
    for where, text in told.items():
        lines = text.splitlines()
        if len(lines) < 2 or not lines[-1].startswith("refused:"):  # noqa: PLR2004 - its own result, and the refusal
            raise Failure(f"{where}, given the other's artifact, said: {text}")
        print(f"[aot   ] {where} {lines[-1]}", flush=True)
