"""Hypothesis strategies for the protocol's values."""

from __future__ import annotations

from hypothesis import strategies as st

from waspi.errors import Fault
from waspi.model.abi import Abi
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import DigestModule, InlineModule, NamedModule
from waspi.model.result import JobError, ModuleOrigin, Result, Usage
from waspi.model.state import JobState

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
versions = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,20}", fullmatch=True)
counts = st.integers(0, 2**63 - 1)
texts = st.text(max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
modules = st.one_of(
    st.builds(InlineModule, st.binary(min_size=1, max_size=100)),
    st.builds(DigestModule, digests),
    st.builds(NamedModule, ids, st.none() | versions),
)
abis = st.builds(
    Abi,
    memory=names,
    alloc=names,
    entry=names,
    headroom=st.integers(0, 2**31 - 1),
    input=st.none() | names,
    output=st.none() | names,
)
at_least_one = st.none() | st.integers(1, 2**63 - 1)
limits = st.builds(
    Limits,
    fuel=at_least_one,
    memory_bytes=at_least_one,
    time_ms=at_least_one,
    output_bytes=st.none() | counts,
    log_bytes=st.none() | counts,
)
audiences = st.builds("{}/{}".format, st.sampled_from(["device", "group"]), ids)
times = st.floats(0, 253_402_300_799, exclude_min=True) | st.integers(1, 253_402_300_799).map(float)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Any job that may travel."""
    batch = draw(st.booleans())
    return Job(
        id=draw(ids),
        module=draw(modules),
        inputs=tuple(draw(st.lists(st.binary(max_size=300), min_size=1, max_size=5 if batch else 1))),
        batch=batch,
        abi=draw(st.none() | abis),
        limits=draw(limits),
        expires_at=draw(st.none() | times),
        priority=draw(st.integers(-100, 100)),
        audience=draw(st.none() | audiences),
    )


errors = st.builds(
    JobError,
    fault=st.sampled_from(list(Fault)),
    kind=ids,
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    function=st.none() | names,
    offset=st.none() | counts,
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Any final result."""
    state = draw(st.sampled_from([state for state in JobState if state.final]))
    succeeded = state is JobState.SUCCEEDED
    batch = draw(st.booleans())
    least, most = (0, 5) if batch else (1, 1) if succeeded else (0, 0)
    return Result(
        id=draw(ids),
        device=draw(ids),
        state=state,
        outputs=tuple(draw(st.lists(st.binary(max_size=300), min_size=least, max_size=most))),
        batch=batch,
        error=None if succeeded else draw(errors),
        log=draw(st.binary(max_size=50)),
        usage=Usage(
            fuel=draw(counts),
            memory_bytes=draw(counts),
            run_us=draw(counts),
            queue_us=draw(counts),
            module=draw(st.none() | st.sampled_from(list(ModuleOrigin))),
        ),
        attempt=draw(st.integers(0, 1000)),
        module=draw(st.none() | names),
    )


# Data items that CBOR can say, for envelopes that are well-formed and wrong.
cbor_items = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ids | st.integers(-(2**64), 2**64 - 1), inner, max_size=4)
    ),
    max_leaves=12,
)
