"""Code for other machines: it can be made here, and is let in only where it can run."""

from __future__ import annotations

import pytest

import waspi
from tests.native.test_artifact import with_fingerprint
from tests.native.wat import COMPILES, entry, guest
from waspi import _wasmer
from waspi.errors import ArtifactError, UsageError

ARM, PC = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
OTHER = PC if _wasmer.TARGET == ARM else ARM
RETURNS = {ARM: b"\xc0\x03\x5f\xd6", PC: b"\x48\x89\xec\x5d\xc3"}
"""How a function ends: ``ret``; ``mov rsp, rbp``, ``pop rbp``, ``ret``."""
# One operator each of those that Cranelift has several ways to make for, by the processor's features.
WIDE = entry(
    """(v128.store (local.get $ptr) (i8x16.swizzle (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31
         (v128.load (local.get $ptr)) (i32x4.splat (i32.popcnt (local.get $size))))
         (v128.const i8x16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0)))
       (f64.store (local.get $ptr) (f64.ceil (f64.nearest (f64.load (local.get $ptr)))))
       (i32.store offset=8 (local.get $ptr) (i32.add (i32.clz (local.get $size)) (i32.ctz (local.get $size))))
       (i32.const 16)"""
)

compiler = pytest.mark.skipif(not COMPILES, reason="wasmi's artifact is the module itself")
both = pytest.mark.skipif(OTHER not in _wasmer.TARGETS, reason="no back end for other machines is built in")
targets = pytest.mark.parametrize("target", _wasmer.TARGETS)


def compile_for(target: str | None, text: str = guest()) -> _wasmer.Module:
    return _wasmer.Module.compile(_wasmer.wat2wasm(text.encode()), target=target)


@compiler
def test_this_machine_is_a_target() -> None:
    assert _wasmer.TARGET in _wasmer.TARGETS
    assert set(_wasmer.TARGETS) <= {ARM, PC}


@compiler
@targets
def test_code_is_made_for_the_target(target: str) -> None:
    module = compile_for(target)
    artifact = module.serialize()
    assert [kind for kind, ending in RETURNS.items() if ending in artifact] == [target]
    assert f"; {target}; ".encode() in artifact
    assert module.exports == compile_for(None).exports
    module.check_abi()


@compiler
@targets
def test_what_was_compiled_for_a_target_does_not_run(target: str) -> None:
    module = compile_for(target)
    for attempt in (lambda: module.run(b""), module.instantiate):
        with pytest.raises(ArtifactError, match=rf"for the target {target}, to be serialized only"):
            attempt()


@both
def test_a_foreign_artifact_is_refused_and_both_machines_are_named() -> None:
    artifact = compile_for(OTHER).serialize()
    with pytest.raises(ArtifactError, match=rf"it is for {OTHER}, this machine is {_wasmer.TARGET}"):
        _wasmer.Module.load(artifact)


@compiler
@pytest.mark.parametrize("text", [guest(), WIDE], ids=["echo", "wide"])
def test_an_artifact_for_lesser_processors_of_this_kind_runs(text: str) -> None:
    """On a processor with more features, and gives what code for just this processor gives."""
    here, least = compile_for(None, text), _wasmer.Module.load(compile_for(_wasmer.TARGET, text).serialize())
    data = bytes(range(1, 17))
    assert least.run(data).output == here.run(data).output
    assert least.run(data).fuel == here.run(data).fuel
    assert least.serialize() == compile_for(_wasmer.TARGET, text).serialize()


@compiler
def test_every_feature_that_the_code_asks_for_must_be_there() -> None:
    artifact = compile_for(None).serialize()
    line, _, features = _wasmer.FINGERPRINT.rpartition("; ")
    more = sorted({*features.split(","), "zeroed", "avx1024"})
    with pytest.raises(ArtifactError, match="it needs a processor with avx1024, zeroed, which this one has not"):
        _wasmer.Module.load(with_fingerprint(artifact, f"{line}; {','.join(more)}"))
    # One line for each set of features: no order, no repetition, nothing empty.
    first = features.partition(",")[0]
    for other in (f"zeroed,{features}", f"{first},{features}", f"{features},", f",{features}", features.upper()):
        with pytest.raises(ArtifactError):
            _wasmer.Module.load(with_fingerprint(artifact, f"{line}; {other}"))


@compiler
def test_a_triple_is_compared_as_a_whole() -> None:
    artifact = compile_for(None).serialize()
    for other in ("-musl", "-gnux32", ""):
        triple = _wasmer.TARGET.removesuffix("-gnu") + other
        with pytest.raises(ArtifactError, match=rf"it is for {triple}, this machine is {_wasmer.TARGET}"):
            _wasmer.Module.load(
                with_fingerprint(artifact, _wasmer.FINGERPRINT.replace(_wasmer.TARGET, triple)),
            )


@compiler
@pytest.mark.parametrize(
    "target", ["", "armv7-unknown-linux-gnueabihf", "aarch64", ARM.upper(), f"{ARM} ", "x" * 5_000]
)
def test_an_unknown_target(target: str) -> None:
    with pytest.raises(UsageError, match="nothing can be compiled for") as caught:
        compile_for(target)
    assert len(str(caught.value)) < 1_100
    if len(target) < 100:
        assert all(known in str(caught.value) for known in _wasmer.TARGETS)


@pytest.mark.skipif(COMPILES, reason="the engine compiles")
@pytest.mark.parametrize("target", [ARM, PC, _wasmer.TARGET])
def test_an_interpreter_compiles_for_nobody(target: str) -> None:
    assert _wasmer.TARGETS == ()
    with pytest.raises(UsageError, match="an interpreter, whose artifact is the module itself"):
        compile_for(target)


@both
def test_the_public_module_takes_a_target() -> None:
    with waspi.Module.compile(guest(), target=OTHER) as module:
        artifact = module.serialize()
    assert artifact == compile_for(OTHER).serialize()
