"""``make fuzz``: every decoder and the native compile and run, guided by coverage (atheris on libFuzzer).

``FUZZ_S=n`` is seconds per decoder, and five times as long for ``native``. What is interesting grows in the cache's
``fuzz`` folder from run to run; a finding is kept in ``tests/fuzz/corpus``, where the test suite tries it first.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from cross import cache

from tests.fuzz import decoders, guests, instrumented

NATIVE = "native"
ENGINE_S = 5
"""Seconds for ``native`` per second for a decoder."""
_DONE = re.compile(r"^Done (\d+) runs", re.MULTILINE)
_COVERAGE = re.compile(r" cov: (\d+)")


def grown(name: str) -> Path:
    """The folder of what was interesting before, begun with the seeds."""
    folder = cache.root() / "fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == NATIVE:
        seeds = [*guests.seeds(), *(path.read_bytes() for path in guests.CORPUS.glob("*.wasm"))]
    else:
        seeds = [*decoders.TARGETS[name][2], *(path.read_bytes() for path in decoders.CORPUS.glob(f"{name}-*"))]
    for seed in seeds:
        (folder / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    return folder


def keep(name: str, finding: Path) -> Path:
    """Put a finding where the test suite tries it."""
    data = finding.read_bytes()
    digest = sha256(data).hexdigest()[:16]
    kept = guests.CORPUS / f"{digest}.wasm" if name == NATIVE else decoders.CORPUS / f"{name}-{digest}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return kept


def fuzz(name: str, seconds: int, module: Path) -> bool:
    """Whether the target held; prints a line, or the end of what it said."""
    with tempfile.TemporaryDirectory(prefix="waspi-fuzz-") as temporary:
        words = [f"-max_total_time={seconds * ENGINE_S if name == NATIVE else seconds}", "-timeout=30"]
        words += [f"-artifact_prefix={temporary}/", "-rss_limit_mb=2048"]
        # Traps of guests are signals, which the engine's own handlers take.
        words += [f"-handle_{signal}=0" for signal in ("segv", "bus", "fpe", "ill")] if name == NATIVE else []
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *words, str(grown(name))]
        environment = {**os.environ, "WASPI_FUZZ_NATIVE": str(module)}
        done = subprocess.run(
            command, check=False, cwd=guests.ROOT, env=environment, capture_output=True, text=True, errors="replace"
        )
        runs = _DONE.search(done.stderr)
        coverage = _COVERAGE.findall(done.stderr)
        if done.returncode == 0 and runs and int(runs[1]) > 0 and coverage:
            print(f"fuzz: {name:12} {int(runs[1]):8} runs, {coverage[-1]:>5} edges", flush=True)
            return True
        kept = [str(keep(name, finding).relative_to(guests.ROOT)) for finding in Path(temporary).iterdir()]
        print(f"fuzz: {name} FAILED (status {done.returncode}); kept: {', '.join(kept) or 'nothing'}")
        print((done.stdout + done.stderr)[-4000:], flush=True)
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets; 1 when one did not hold."""
    names = [*decoders.TARGETS, NATIVE]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Fuzz, guided by coverage.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(names)}")
    parser.add_argument("--seconds", type=int, default=60, help="per decoder (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.targets) - set(names):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    targets = sorted(parsed.targets or names, key=lambda name: name != NATIVE)  # the longest first
    with tempfile.TemporaryDirectory(prefix="waspi-fuzz-") as temporary:
        module = instrumented.build(Path(temporary)) if NATIVE in targets else Path(temporary)
        with ThreadPoolExecutor(2) as pool:
            held = list(pool.map(lambda name: fuzz(name, parsed.seconds, module), targets))
    print(f"fuzz: {sum(held)} of {len(held)} targets held")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
