"""FAULTS 31: what a locked-down process asks for and does not get. The calls are made from inside it."""

import json
import os
import platform
import signal

import pytest

from tests.native.locked_child import run_locked
from tests.native.seccomp_here import needs_seccomp
from tests.native.syscall_numbers import NUMBERS

pytestmark = needs_seccomp

EPERM, ENOSYS, EFAULT = 1, 38, 14

# Calls of which a worker has no use. The kernel's own answer to zeros would be another one than EPERM, or success.
DENIED = [
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "stat",
        "statx",
        "newfstatat",
        "sendmsg",
        "access",
        "getdents64",
        "readlinkat",
        "unlinkat",
        "renameat",
    ),
    *("mkdirat", "fchmodat", "truncate", "inotify_init1", "fanotify_init", "memfd_create", "name_to_handle_at"),
    *("socket", "socketpair", "connect", "bind", "listen", "accept4", "setsockopt"),
    *("fork", "vfork", "clone", "kill", "tkill", "rt_sigqueueinfo", "pidfd_open", "pidfd_send_signal", "waitid"),
    *("setsid", "setpgid", "setrlimit", "setpriority", "sched_setscheduler", "sched_setaffinity"),
    *("setuid", "setgid", "setresuid", "setgroups", "capset", "seccomp", "landlock_create_ruleset", "personality"),
    *("arch_prctl", "pkey_mprotect", "remap_file_pages", "shmget", "shmat", "msgget", "mq_open", "process_madvise"),
    *("dup", "dup3", "pipe2", "eventfd2", "epoll_create1", "signalfd4", "timerfd_create", "timer_create", "setitimer"),
    *("splice", "vmsplice", "sendfile", "copy_file_range", "uname", "sysinfo", "getuid", "getppid", "syslog"),
    *("sethostname", "settimeofday", "clock_settime", "adjtimex", "quotactl", "acct", "sync"),
]

FATAL = [
    *("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "bpf"),
    *("perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key"),
    *("request_key", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig"),
    *("fsmount", "fspick", "mount_setattr", "setns", "unshare", "open_by_handle_at", "init_module", "finit_module"),
    *("delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "iopl", "ioperm", "modify_ldt"),
]

# Allowed calls with arguments that are not: (call, arguments, why it matters).
CLONE_THREAD = 0x3D0F00
ARGUMENTS = [
    ("clone", (signal.SIGCHLD, 0, 0, 0, 0), "a process"),
    ("clone", (0x10000000 | signal.SIGCHLD, 0, 0, 0, 0), "a user namespace"),
    ("clone", (0x40000000 | CLONE_THREAD, 0, 0, 0, 0), "a network namespace"),
    ("clone", (CLONE_THREAD & ~0x10000, 0, 0, 0, 0), "no CLONE_THREAD: a process that shares memory"),
    ("clone", (0x00002000 | CLONE_THREAD, 0, 0, 0, 0), "CLONE_PTRACE"),
    ("tgkill", (os.getpid(), os.getpid(), 0), "a signal to another process"),
    ("tgkill", (1, 1, 0), "a signal to init"),
    ("prlimit64", (os.getpid(), 7, 0, 0), "another process's limits"),
    ("prlimit64", (0, 7, 1, 0), "its own limits, to set them"),
    ("prctl", (4, 1, 0, 0, 0), "PR_SET_DUMPABLE"),
    ("prctl", (1, 0, 0, 0, 0), "PR_SET_PDEATHSIG"),
    ("prctl", (22, 2, 0, 0, 0), "PR_SET_SECCOMP"),
    ("mmap", (0, 4096, 5, 0x22, -1, 0), "memory that is executable from the start"),
    ("mmap", (0, 4096, 7, 0x22, -1, 0), "memory that is writable and executable"),
    ("mprotect", (0, 4096, 7), "memory that becomes writable and executable"),
    ("ioctl", (0, 0x5412, 0), "TIOCSTI"),
    ("ioctl", (0, 0x5401, 0), "TCGETS"),
    ("fcntl", (0, 8, 1), "F_SETOWN"),
    ("fcntl", (0, 1024, 0), "F_SETLEASE"),
    ("fcntl", (0, 0, 0), "F_DUPFD without close-on-exec"),
    ("sendto", (3, 0, 0, 0, 1, 16), "a message to an address"),
    ("sendto", (3, 0, 1, 1, 0, 0), "MSG_OOB"),
    ("newfstatat", (-100, 0, 0, 0x1000), "stat of any path, which AT_EMPTY_PATH does not forbid"),
]

PROBE = """
    tell([syscall(*call) for call in json.loads(sys.stdin.buffer.read())])
"""


@pytest.mark.parametrize("role", ["worker", "compiler"])
def test_fault_31_everything_outside_the_list_is_denied(role: str) -> None:
    names = [name for name in DENIED if name in NUMBERS]
    calls = [[NUMBERS[name], 0, 0, 0, 0, 0, 0] for name in names]
    ended = run_locked(PROBE, lock=f'_wasmer.lockdown("{role}", keep_fds=KEEP)', data=json.dumps(calls).encode())
    assert ended.status == 0, ended.stderr
    assert dict(zip(names, ended.told, strict=True)) == dict.fromkeys(names, -EPERM)


def test_fault_31_arguments_are_checked() -> None:
    calls = [[NUMBERS[name], *arguments] for name, arguments, _why in ARGUMENTS]
    ended = run_locked(PROBE, data=json.dumps(calls).encode())
    assert ended.status == 0, ended.stderr
    outcomes = [(name, why, answer) for (name, _, why), answer in zip(ARGUMENTS, ended.told, strict=True)]
    assert outcomes == [(name, why, -EPERM) for name, _, why in ARGUMENTS]


@pytest.mark.parametrize("name", [name for name in FATAL if name in NUMBERS])
def test_fault_31_what_nobody_asks_by_accident_kills(name: str) -> None:
    ended = run_locked(f"syscall({NUMBERS[name]}, 0, 0, 0, 0, 0, 0); tell('alive')")
    assert (ended.status, ended.told) == (-signal.SIGSYS, None)


def test_fault_31_from_python() -> None:
    ended = run_locked(
        """
        def denied(function, *arguments):
            try:
                function(*arguments)
            except OSError as error:
                return error.errno
            return 0

        tell({
            "open": denied(open, "/etc/hostname"),
            "write": denied(open, "/tmp/waspi-was-here", "w"),
            "listdir": denied(os.listdir, "/"),
            "socket": denied(socket.socket),
            "fork": denied(os.fork),
            "kill the parent": denied(os.kill, parent, signal.SIGKILL),
            "kill everybody": denied(os.kill, -1, signal.SIGKILL),
            "connect": denied(held.connect, ("127.0.0.1", 9)),
            "sendto": denied(held.sendto, b"x", ("127.0.0.1", 9)),
        })
        """,
        before="""
        parent = os.getppid()
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        KEEP.append(held.fileno())
        """,
    )
    assert ended.status == 0, ended.stderr
    assert set(ended.told.values()) == {EPERM}, ended.told


def test_fault_31_threads_that_ran_before_are_locked_down_too() -> None:
    ended = run_locked(
        """
        go.set()
        thread.join()
        tell(answers)
        """,
        before=f"""
        go, answers = threading.Event(), []
        def early():
            go.wait()
            answers.append(syscall({NUMBERS["openat"]}, -100, b"/etc/hostname", 0, 0))
        thread = threading.Thread(target=early)
        thread.start()
        """,
    )
    assert (ended.status, ended.told) == (0, [-EPERM]), ended.stderr


def test_clone3_is_absent_so_that_glibc_falls_back() -> None:
    ended = run_locked(f"tell(syscall({NUMBERS['clone3']}, 0, 88))")
    assert ended.told == -ENOSYS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has a second and a third system call table")
def test_fault_31_other_system_call_tables_are_closed() -> None:
    x32 = run_locked("tell(syscall(0x40000000 | 39))")
    assert x32.told == -EPERM
    # getpid by the 32-bit entry: mov eax, 20; int 0x80; ret
    i386 = run_locked(
        "tell(entry())",
        before="""
        import mmap
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("b814000000cd80c3"))
        entry = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        """,
    )
    assert (i386.status, i386.told) == (-signal.SIGSYS, None)


def test_a_sealed_worker_starts_no_further_thread() -> None:
    ended = run_locked(
        """
        def started():
            try:
                thread = threading.Thread(target=int)
                thread.start()
            except RuntimeError:
                return False
            thread.join()
            return True

        before = started()
        again = threading.Event()
        early = threading.Thread(target=lambda: (again.wait(), answers.append(started())))
        answers = []
        early.start()
        sealed = _wasmer.seal()
        again.set()
        early.join()
        tell([before, sealed, started(), *answers])
        """
    )
    assert (ended.status, ended.told) == (0, [True, "on", False, False]), ended.stderr


def test_a_run_in_a_sealed_worker_ends_at_its_deadline() -> None:
    """The watchdog's thread is there before the right to start one goes."""
    ended = run_locked(
        """
        sealed = _wasmer.seal()
        try:
            module.run(b"", time_ms=50)
        except waspi.errors.TimeLimitError:
            tell(sealed)
        """,
        before="""
        module = _wasmer.Module.compile(_wasmer.wat2wasm(b'''(module (memory (export "memory") 1)
          (func (export "alloc") (param i32) (result i32) (i32.const 0))
          (func (export "append") (param i32 i32) (result i32) (loop $again (br $again)) (i32.const 0)))'''))
        """,
    )
    assert (ended.status, ended.told) == (0, "on"), ended.stderr
