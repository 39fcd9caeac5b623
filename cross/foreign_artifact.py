"""Compiled code of one machine on another: made here for the board and run there, refused wherever it cannot run.

Wasmer loads an artifact for another processor without a word and dies at the first call, so it is the fingerprint that
must refuse: each side is given the other's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cross import cache
from cross.command import run
from cross.failure import Failure
from cross.inside import inside
from cross.target import Target

GUEST = "build/guests/append-wat.wasm"
COMPILE = "from waspi import _wasmer as w, errors; import sys; a, b = sys.argv[1:3]\n"
RESULT = "x<---- This is your string"
MAKE = COMPILE + "open(b, 'wb').write(w.Module.compile(open(a, 'rb').read()).serialize())\n"
MAKE_FOR = COMPILE + "open(b, 'wb').write(w.Module.compile(open(a, 'rb').read(), target=sys.argv[3]).serialize())\n"
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


def check_foreign_artifacts(root: Path, target: Target) -> None:
    """Exchange artifacts between this machine and the emulated board; Failure when either takes the other's.

    Where the board's engine compiles, this machine also compiles for the board, which has to run that.
    """
    guest = cache.CHECKOUT / GUEST
    shared = root / "root"
    (shared / "guest.wasm").write_bytes(guest.read_bytes())
    here = [sys.executable, "-c"]
    env = {"PYTHONPATH": str(cache.CHECKOUT / "agent")}
    run([*here, MAKE, guest, shared / "host.aot"], env=env)
    run(inside(root, ["python", "-c", MAKE, "/root/guest.wasm", "/root/board.aot"]))
    told = {
        "this machine, given the board's:": run([*here, LOAD, shared / "host.aot", shared / "board.aot"], env=env),
        "the board, given this machine's:": run(
            inside(root, ["python", "-c", LOAD, "/root/board.aot", "/root/host.aot"])
        ),
    }
    if target.back_end:
        run([*here, MAKE_FOR, guest, shared / "made-here.aot", target.triple], env=env)
        told["this machine, given what it made for the board:"] = run(
            [*here, LOAD, shared / "host.aot", shared / "made-here.aot"], env=env
        )
        told["the board, which ran what was made for it, given this machine's:"] = run(
            inside(root, ["python", "-c", LOAD, "/root/made-here.aot", "/root/host.aot"])
        )
    for where, text in told.items():
        lines = text.splitlines()
        if len(lines) != 2 or lines[0] != RESULT or not lines[1].startswith("refused:"):  # noqa: PLR2004 - both, no more
            raise Failure(f"{where} it said: {text}")
        print(f"[aot   ] {where} {lines[1]}", flush=True)
