"""The suite through real worker processes: compiler process, artifact, lock-down, frames."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from tests.conformance.runner import DEVICE, Tally
from tests.conformance.suite import ALL, ALLOC, MEMORY_NAME, NOTHING, Prepared, Subject
from tests.integration.sandbox.rig import Rig
from waspi import errors
from waspi.model.abi import Abi
from waspi.model.limits import Limits
from waspi.sandbox.settings import PoolSettings
from waspi.sandbox.task import Done

_LIMITS: Final = Limits(**DEVICE)
_NOT_HERE: Final = frozenset({errors.UnsupportedFeatureError.kind, errors.ModuleTooLargeError.kind})


def run(suite: Prepared, chosen: list[Subject]) -> Tally:
    """Try these modules."""
    tally = Tally()
    with (
        tempfile.TemporaryDirectory() as folder,
        Rig(Path(folder), PoolSettings(size=1, memory_bytes=_LIMITS.memory_bytes or 0)) as rig,
    ):
        for tested in chosen:
            digest = rig.cache.put(suite.module(tested.file))
            entries = [(ALL, "")] if tested.steps else []
            entries += [(NOTHING, tested.start)] if tested.start else []
            entries += [(trap.entry, trap.error) for trap in tested.traps]
            for entry, wanted in entries:
                abi = Abi(memory=MEMORY_NAME, alloc=ALLOC, entry=entry, headroom=0)
                _judge(tally, rig.run(digest, b"", abi=abi, limits=_LIMITS), tested, entry, wanted)
            rig.done.clear()
    return tally


def _judge(tally: Tally, done: Done, tested: Subject, entry: str, wanted: str) -> None:
    kind = done.error.kind if done.error else ""
    count = 1 if wanted else len(tested.steps)
    if kind in _NOT_HERE:
        tally.left_out += Counter({kind: count})
    elif kind == (getattr(errors, wanted).kind if wanted else ""):
        tally.passed["traps" if wanted else "returns"] += count
    else:
        told = done.error.message if done.error else "no error"
        tally.failed.append(f"{tested.script}:{tested.line} {entry} wants {wanted or 'success'}, gives {kind}: {told}")
