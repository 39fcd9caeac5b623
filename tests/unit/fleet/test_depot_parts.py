"""The depot's parts without a broker: fairness, rate, files and what they may cost."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators.repository_site import Site
from waspi.fleet.depot import files as files_module
from waspi.fleet.depot.files import RangeRefused, RepositoryFiles
from waspi.fleet.depot.queueing import FairQueue, TokenBucket
from waspi.protocol.depot import MAX_FILE, RefusalKind
from waspi.protocol.repository_path import target_path


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5000)), max_size=60))
def test_never_more_than_the_rate(steps: list[tuple[float, int]]) -> None:
    now, sent = 100.0, 0
    bucket = TokenBucket(1000, 2000, now)
    for pause, size in steps:
        now += pause
        now += bucket.wait(size, now)
        assert bucket.wait(size, now) < 1e-6
        bucket.spend(size)
        sent += size
        assert sent <= 2000 + 1000 * (now - 100.0) + 5000 + 1e-3  # burst, rate, and one answer


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(10, 10, 100.0)
    bucket.spend(10)
    assert bucket.wait(10, 50.0) == 1.0
    assert bucket.wait(10, 51.0) == 0.0


def test_turn_by_turn() -> None:
    queue: FairQueue[str] = FairQueue(3, 6)
    for number in range(3):
        assert queue.put("greedy", number, f"greedy {number}")
    assert not queue.put("greedy", 3, "no room")
    assert queue.put("modest", 0, "modest 0")
    assert queue.put("late", 0, "late 0")
    assert queue.has("greedy", 1)
    assert not queue.has("greedy", 9)
    assert [queue.pop() for _ in range(len(queue))] == ["greedy 0", "modest 0", "late 0", "greedy 1", "greedy 2"]
    with pytest.raises(IndexError):
        queue.peek()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)) | st.none(), max_size=80))
def test_the_queue_counts(operations: list[tuple[str, int] | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(4, 7)
    waiting: list[tuple[str, int]] = []
    for operation in operations:
        if operation is None:
            if waiting:
                waiting.remove(queue.pop())
        elif operation not in waiting and queue.put(*operation, operation):
            waiting.append(operation)
        assert len(queue) == len(waiting) <= 7
        assert all(sum(device == each for each, _ in waiting) <= 4 for device in "abc")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_few_files_are_kept_open_and_little_in_memory(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_OPEN", 4)
    monkeypatch.setattr(files_module, "CACHE_BYTES", 20_000)
    paths = []
    for number in range(20):
        content = f"{number} ".encode() * 10_000
        release = site.add(version=str(number), content=content)
        paths.append(target_path(f"modules/append/{number}.wasm", release.sha256))
    files = RepositoryFiles(site.folder)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - not a folder of files
    for path in paths * 2:
        for offset in range(0, 20_000, 5_000):
            data, total = files.read(path, offset, 5_000)
            assert files.packed(path, offset, data) is not None
            assert total >= 20_000
    assert len(os.listdir("/proc/self/fd")) - before <= 4  # noqa: PTH208 - not a folder of files
    assert files._packed_bytes <= 20_000
    assert files._packed_bytes == sum(map(files_module._cost, files._packed.values()))
    files.close()


def test_what_does_not_get_smaller_is_sent_as_it_is(site: Site) -> None:
    noise = random.Random(3).randbytes(50_000)  # noqa: S311 - contents
    release = site.add(content=noise)
    files = RepositoryFiles(site.folder)
    path = target_path("modules/append/1.0.0.wasm", release.sha256)
    assert files.packed(path, 0, files.read(path, 0, 40_000)[0]) is None
    files.close()


def test_the_timestamp_is_read_anew(site: Site) -> None:
    files = RepositoryFiles(site.folder)
    first, _ = files.read("metadata/timestamp.json", 0, 65_536)
    assert files.timestamp().notice.version == 1
    site.repository.publish()
    second, _ = files.read("metadata/timestamp.json", 0, 65_536)
    assert first != second
    assert files.timestamp().notice.version == 2
    assert files.packed("metadata/timestamp.json", 0, second) is None
    files.close()


def test_no_folders_no_links_no_pipes_no_giants(site: Site) -> None:
    files = RepositoryFiles(site.folder)
    folder = site.folder / "targets" / "deployments"
    folder.mkdir(parents=True)
    names = {kind: f"{number}" * 64 + ".a.json" for number, kind in enumerate(("link", "pipe", "folder", "giant"))}
    (folder / names["link"]).symlink_to("/etc/passwd")
    os.mkfifo(folder / names["pipe"])
    (folder / names["folder"]).mkdir()
    with (folder / names["giant"]).open("wb") as giant:
        giant.truncate(MAX_FILE + 1)
    for name in names.values():
        with pytest.raises(RangeRefused) as refused:
            files.read(f"targets/deployments/{name}", 0, 100)
        assert refused.value.refusal.kind is RefusalKind.UNREADABLE
    for path in ("../keys/root-1.key", "repository.json", "draft.json"):
        with pytest.raises(RangeRefused) as refused:
            files.read(path, 0, 100)
        assert refused.value.refusal.kind is RefusalKind.NOT_FOUND
    files.close()
