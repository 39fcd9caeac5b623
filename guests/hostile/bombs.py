"""Modules that explode at compile time, or that are too long for hands; each function is one case (FAULTS 27, 32).

The first ones are beyond a bound (``_wasmer.Bounds``) and must be refused before the compiler sees them. The last ones
keep within every bound and aim at the compiler's algorithms: compile, or refuse, in bounded time and memory.
"""

from __future__ import annotations

from binary import (
    ADD,
    CONST,
    DATA,
    DROP,
    ELEMENT,
    END,
    GET,
    GLOBAL,
    I32,
    I64,
    SET,
    TABLE,
    code,
    function_type,
    guest,
    leb,
    name,
    vector,
)

BODY = 262_000
"""Bytes of instructions that just pass the bound on a function's body."""


def many_functions() -> bytes:
    """200,000 empty functions in 800 KB."""
    return guest(bodies=[code(b"")] * 200_000)


def many_types() -> bytes:
    """300,000 types in 1 MB."""
    return guest(types=[function_type([I32], [])] * 300_000)


def many_globals() -> bytes:
    """200,000 globals in 1 MB."""
    return guest(more={GLOBAL: vector([I32 + b"\x01" + CONST + b"\0" + END] * 200_000)})


def many_exports() -> bytes:
    """100,000 names for the same function."""
    return guest(exports=[name(f"e{number}") + b"\0\0" for number in range(100_000)])


def many_imports() -> bytes:
    """100,000 imports, each of them unknown: one is enough to name."""
    return guest(imports=[name("env") + name(f"i{number}") + b"\0\x02" for number in range(100_000)])


def many_data_segments() -> bytes:
    """150,000 data segments of one byte."""
    return guest(more={DATA: vector([b"\0" + CONST + b"\0" + END + b"\x01x"] * 150_000)})


def many_elements() -> bytes:
    """150,000 element segments that write to the same place."""
    return guest(
        more={TABLE: vector([b"\x70\0\x01"]), ELEMENT: vector([b"\0" + CONST + b"\0" + END + b"\x01\0"] * 150_000)}
    )


def many_params() -> bytes:
    """A function of 900 parameters; engines copy them at every call."""
    return guest(types=[function_type([I64] * 900, [])], type_of_bodies=3, bodies=[code(b"")])


def many_results() -> bytes:
    """A function of 900 results."""
    return guest(types=[function_type([], [I32] * 900)], type_of_bodies=3, bodies=[code((CONST + b"\0") * 900)])


def many_locals() -> bytes:
    """A function of 40,000 locals of alternating types."""
    return guest(bodies=[code(b"", [(1, I32), (1, I64)] * 20_000)])


def locals_by_run_length() -> bytes:
    """4,294,967,295 locals declared in six bytes."""
    return guest(bodies=[code(b"", [(0xFFFF_FFFF, I64)])])


def giant_body() -> bytes:
    """One function of 6 MB of additions."""
    return guest(append=GET + b"\x01" + (CONST + b"\x01" + ADD) * 2_000_000)


def giant_br_table() -> bytes:
    """One br_table of a million targets."""
    return guest(append=(GET + b"\x01") * 2 + b"\x0e" + leb(1_000_000) + b"\0" * 1_000_001)


def giant_module() -> bytes:
    """17 MiB, all of it one data segment."""
    size = 17 << 20
    return guest(more={DATA: vector([b"\x01" + leb(size) + bytes(size)])})


def deep_blocks() -> bytes:
    """87,000 blocks in one another: a compiler that recurses over them has no stack left."""
    depth = BODY // 3
    return guest(append=b"\x02\x40" * depth + END * depth + GET + b"\x01")


def _count_up(opening: bytes, count: int, blocks: int = BODY) -> bytes:
    """Fill a function with blocks or loops, each of which adds 1 to one of ``count`` locals and may branch."""
    body = bytearray()
    number = 0
    while len(body) < BODY - 32 and number < blocks:
        local = leb(2 + number % count)
        body += opening + b"\x40" + GET + local + CONST + b"\x01" + ADD + SET + local + GET + local + b"\x0d\0" + END
        number += 1
    return guest(append=bytes(body) + GET + b"\x01", runs=[(count, I32)])


def phi_explosion() -> bytes:
    """4,000 locals and 15,000 loops: locals times loops is what a naive SSA construction makes."""
    return _count_up(b"\x03", 4_000)


def many_loops() -> bytes:
    """18,000 loops in a row over ten locals: Cranelift needs a minute, in the square of their number."""
    return _count_up(b"\x03", 10)


def many_merges() -> bytes:
    """4,000 locals and 15,000 blocks that branch: in Cranelift 1.6 GB and half a minute."""
    return _count_up(b"\x02", 4_000)


# --- within every bound ---------------------------------------------------------------------------------------------


def br_table_fan() -> bytes:
    """990 nested blocks and 65 br_tables that reach all of them: 64,000 edges in the control flow."""
    depth = 990
    targets = leb(depth - 1) + b"".join(leb(number) for number in range(depth))
    table = b"\x02\x40" + GET + b"\x01" + b"\x0e" + targets + END
    return guest(append=b"\x02\x40" * depth + table * 65 + END * depth + GET + b"\x01")


def merges_in_bounds() -> bytes:
    """950 locals, 2,000 blocks that branch: as much of ``many_merges`` as the bounds let through."""
    return _count_up(b"\x02", 950, 2_000)


def straight_line() -> bytes:
    """A single basic block in which 4,000 values at a time stay alive: work for the register allocator."""
    alive = 4_000
    once = (GET + b"\x01") * alive + ADD * (alive - 1) + DROP
    return guest(append=once * (BODY // len(once)) + GET + b"\x01")


def call_storm() -> bytes:
    """11,000 functions of 100 calls each, 3.5 MB: a million call sites to relocate."""
    calls = code(b"".join(b"\x10" + leb(2 + number * 109) for number in range(100)))
    return guest(bodies=[calls] * 11_000)


# --- run time, but long ---------------------------------------------------------------------------------------------


def recursion_large_frame() -> bytes:
    """Calls itself for ever with frames of 8 KiB: without stack probes a frame can step over the guard page."""
    count = 1_000
    load = b"".join(GET + b"\0" + b"\x29\x03" + leb(8 * n) + SET + leb(n + 1) for n in range(count))  # i64.load
    fold = b"".join(GET + leb(n + 1) + b"\x7c" for n in range(count))  # i64.add
    deep = GET + b"\0" + CONST + b"\x08" + ADD + b"\x10\x02" + fold
    return guest(
        types=[function_type([I32], [I64])],
        type_of_bodies=3,
        bodies=[code(load + deep, [(count, I64)])],
        append=CONST + b"\x08" + b"\x10\x02" + b"\xa7",  # i32.wrap_i64
    )
