"""Each part of the lock-down by itself, and the posture that says which of them hold."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.native.locked_child import environment, program, run_locked
from tests.native.seccomp_here import needs_seccomp
from tests.native.syscall_numbers import NUMBERS

PARTS = [
    "descriptors",
    "environment",
    "rlimits",
    "capabilities",
    "parent_death",
    "undumpable",
    "no_new_privs",
    "landlock",
    "seccomp",
]

# Makes system call NUMBER answer ERRNO, as an older kernel or an outer sandbox would.
LACKING = """
import struct
def lack(**errnos):
    numbers = {numbers}
    program = [(0x20, 0, 0, 0)]
    for name, errno in errnos.items():
        program += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x00050000 | errno)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, head) == 0
""".replace("{numbers}", repr({**NUMBERS, "close_range": 436, "landlock_create_ruleset": 444}))


@needs_seccomp
def test_posture_names_every_part_before_and_after() -> None:
    ended = run_locked("tell([before, posture])", before="before = _wasmer.posture()")
    before, after = ended.told
    assert list(before) == list(after) == PARTS
    assert before == after
    assert {state for part, state in after.items() if part != "landlock"} == {"on"}
    assert after["landlock"].startswith(("abi ", "off: "))


def test_descriptors_are_closed_and_the_standard_three_replaced() -> None:
    ended = run_locked(
        """
        result = []
        for fd in range(4096):
            if libc.fcntl(fd, 1) != -1:
                result.append(fd)
        tell(result)
        """,
        before="""
        spare = [os.open("/", os.O_RDONLY) for _ in range(20)]
        kept = os.dup(1)
        os.dup2(1, 300)
        KEEP = [1, kept, 300]
        """,
    )
    assert ended.status == 0, ended.stderr
    assert [fd for fd in ended.told if fd < 3] == [0, 1, 2]
    assert ended.told[3:][1:] == [300]
    assert len(ended.told) == 5


def test_a_standard_descriptor_that_is_not_kept_is_dev_null() -> None:
    ended = run_locked("tell(os.read(0, 100).decode())", before="KEEP = [1, 2]", data=b"a secret")
    assert ended.told == ""


@needs_seccomp
def test_descriptors_are_closed_without_close_range() -> None:
    ended = run_locked(
        "tell([posture['descriptors'], sorted(fd for fd in range(4096) if libc.fcntl(fd, 1) != -1)])",
        before=LACKING + "lack(close_range=38)\nspare = [os.open('/', os.O_RDONLY) for _ in range(20)]",
    )
    assert ended.told == ["on", [0, 1, 2]], ended.stderr


def test_the_environment_is_gone_from_memory_too() -> None:
    ended = run_locked(
        """
        libc.getenv.restype = ctypes.c_char_p
        tell([libc.getenv(b"MQTT_PASSWORD"), ctypes.string_at(start, end - start).strip(bytes(1)).decode()])
        """,
        before="""
        fields = open("/proc/self/stat").read().rpartition(")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        assert b"hunter2" in ctypes.string_at(start, end - start) or not start
        """,
        MQTT_PASSWORD="hunter2",  # noqa: S106 - the secret that must go
    )
    assert (ended.status, ended.told) == (0, [None, ""]), ended.stderr


def test_files_cannot_be_written_and_the_writer_survives(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        ended = run_locked(
            f"""
            try:
                os.write({file.fileno()}, b"x")
            except OSError as error:
                tell(error.errno)
            """,
            before=f"signal.signal(signal.SIGXFSZ, signal.SIG_DFL); KEEP.append({file.fileno()})",
            pass_fds=(file.fileno(),),
        )
    assert (ended.status, ended.told) == (0, 27), ended.stderr  # EFBIG
    assert path.read_bytes() == b""


def test_limits_are_soft_and_hard() -> None:
    ended = run_locked(
        "tell({name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in names})",
        before="import resource; names = ['AS', 'CPU', 'FSIZE', 'CORE', 'MEMLOCK', 'NOFILE']",
        lock='_wasmer.lockdown("worker", keep_fds=KEEP, address_space_bytes=1 << 33, cpu_seconds=77)',
    )
    assert ended.told == {
        "AS": [1 << 33] * 2,
        "CPU": [77] * 2,
        "FSIZE": [0] * 2,
        "CORE": [0] * 2,
        "MEMLOCK": [0] * 2,
        "NOFILE": [32] * 2,
    }, ended.stderr


def test_address_space_ends_in_memory_error() -> None:
    ended = run_locked(
        """
        try:
            bytearray(1 << 30)
        except MemoryError:
            tell("refused")
        """,
        lock='_wasmer.lockdown("worker", keep_fds=KEEP, address_space_bytes=1 << 29)',
    )
    assert (ended.status, ended.told) == (0, "refused"), ended.stderr


def test_cpu_time_ends_in_death() -> None:
    ended = run_locked("while True: pass", lock='_wasmer.lockdown("worker", keep_fds=KEEP, cpu_seconds=1)')
    assert ended.status == -signal.SIGKILL


def test_capabilities_are_gone() -> None:
    ended = run_locked(
        """
        tell(status.read().count("0000000000000000"))
        """,
        before="status = open('/proc/self/status'); KEEP.append(status.fileno())",
    )
    assert ended.told >= 4, ended.stderr  # CapInh, CapPrm, CapEff, CapAmb


def test_a_worker_dies_with_its_parent() -> None:
    child = program("os.write(1, b'up'); time.sleep(600)")
    code = f"import subprocess, time; subprocess.Popen({child!r}); time.sleep(600)"
    command = [child[0], "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as parent:
        assert parent.stdout is not None
        out = parent.stdout.fileno()
        assert os.read(out, 2) == b"up"
        parent.kill()
        parent.wait()
        # The grandchild holds the pipe's other end: it closes when it is gone.
        assert select.select([out], [], [], 10)[0]
        assert os.read(out, 1) == b""


def test_nobody_reads_its_memory() -> None:
    """The files in /proc of an undumpable process belong to root, whoever runs it."""
    child = program(
        "tell('up'); sys.stdin.read()",
        before="""
        if os.getuid() == 0:
            os.setuid(65534)
            libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which the change of user took away
        assert os.stat("/proc/self/maps").st_uid == os.getuid()
        """,
    )
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b'"up"\n'
        assert Path(f"/proc/{worker.pid}/maps").stat().st_uid == 0
        worker.communicate()


@needs_seccomp
def test_landlock_holds_by_itself() -> None:
    """With seccomp refused by an outer sandbox, the posture says so and Landlock still denies."""
    ended = run_locked(
        """
        def errno_of(function, *arguments):
            try:
                function(*arguments)
            except OSError as error:
                return error.errno
            return 0
        tell({
            "posture": posture,
            "open": errno_of(open, "/etc/hostname"),
            "create": errno_of(open, "/tmp/waspi-was-here", "w"),
            "listdir": errno_of(os.listdir, "/"),
            "connect": errno_of(tcp.connect, ("127.0.0.1", 9)),
            "bind": errno_of(tcp.bind, ("127.0.0.1", 0)),
            "kill": errno_of(os.kill, parent, 0),
        })
        """,
        before=LACKING + "lack(seccomp=1)\nparent = os.getppid()\ntcp = socket.socket()\nKEEP.append(tcp.fileno())",
    )
    assert ended.status == 0, ended.stderr
    posture = ended.told.pop("posture")
    assert posture["seccomp"].startswith("off: an outer sandbox denies seccomp(2)")
    assert posture["rlimits"] == "on"
    if posture["landlock"].startswith("off"):
        pytest.skip(f"Landlock is {posture['landlock']}")
    abi = int(posture["landlock"].removeprefix("abi "))
    eacces, eperm = 13, 1
    expected = {"open": eacces, "create": eacces, "listdir": eacces}
    if abi >= 4:
        expected |= {"connect": eacces, "bind": eacces}
    if abi >= 6:
        expected |= {"kill": eperm}
    assert {name: ended.told[name] for name in expected} == expected


@needs_seccomp
@pytest.mark.parametrize(("errno", "reason"), [(38, "built without Landlock"), (95, "not switched on")])
def test_posture_tells_why_landlock_is_off(errno: int, reason: str) -> None:
    ended = run_locked(
        "tell([before, posture])",
        before=LACKING + f"lack(landlock_create_ruleset={errno})\nbefore = _wasmer.posture()",
    )
    for posture in ended.told:
        assert posture["landlock"].startswith("off: ")
        assert reason in posture["landlock"]
        assert posture["seccomp"] == "on"


@needs_seccomp
def test_posture_tells_of_threads_that_landlock_does_not_cover() -> None:
    ended = run_locked(
        "stop.set(); tell(posture)",
        before="stop = threading.Event(); threading.Thread(target=stop.wait).start()",
    )
    assert ended.status == 0, ended.stderr
    assert ended.told["capabilities"].startswith("off: 1 other threads run already")
    assert ended.told["landlock"].startswith(("off: ", "abi 8", "abi 9", "abi 1"))
    assert ended.told["seccomp"] == "on"


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        ("_wasmer.lockdown('guest', keep_fds=KEEP)", 'unknown role "guest": use "worker" or "compiler"'),
        ("_wasmer.lockdown('worker', keep_fds=[999])", "descriptor 999 in keep_fds is not open"),
        ("_wasmer.lockdown('worker', keep_fds=[-1])", "descriptor -1 in keep_fds is not open"),
    ],
)
def test_a_wrong_argument_is_an_error_and_changes_nothing(lock: str, message: str) -> None:
    ended = run_locked(
        """
        tell([type(found).__name__, found.message, os.path.exists("/")])
        """,
        lock=f"""
try:
    {lock}
except waspi.errors.LockdownError as error:
    found = error
""",
    )
    kind, text, exists = ended.told
    assert (kind, exists) == ("LockdownError", True)
    assert message in text


def test_a_second_lockdown_is_an_error() -> None:
    ended = run_locked(
        """
        try:
            _wasmer.lockdown("worker")
        except waspi.errors.LockdownError as error:
            tell(error.message)
        """
    )
    assert ended.told.startswith("this process is locked down already"), ended.stderr
