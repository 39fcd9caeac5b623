"""What a locked-down process can still do: all that a worker and Python itself live on."""

import signal

import pytest

from tests.native.locked_child import run_locked

ROLES = ["worker", "compiler"]


@pytest.mark.parametrize("role", ROLES)
def test_python_goes_on_working(role: str) -> None:
    ended = run_locked(
        """
        result = {}

        seen = []
        threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result["threads"] = sorted(seen)

        blocks = [bytearray(1 << 20) for _ in range(64)]
        blocks[0].extend(bytes(1 << 24))
        result["memory"] = sum(map(len, blocks))
        del blocks
        cycle = []
        cycle.append(cycle)
        del cycle
        result["collected"] = gc.collect() >= 1

        start = time.monotonic()
        time.sleep(0.01)
        result["slept"] = time.monotonic() - start >= 0.01
        result["time"] = time.time() > 1_600_000_000
        result["random"] = len(os.urandom(16))

        try:
            {}["missing"]
        except KeyError:
            result["traceback"] = traceback.format_exc().splitlines()[-1]

        condition = threading.Condition()
        with condition:
            result["timed out"] = not condition.wait(0.01)

        near.sendall(b"ping")
        poll = select.poll()
        poll.register(far.fileno(), select.POLLIN)
        result["poll"] = poll.poll(5000) == [(far.fileno(), select.POLLIN)]
        result["recv"] = far.recv(64).decode()
        far.settimeout(0.01)
        try:
            far.recv(1)
        except TimeoutError:
            result["socket timeout"] = True
        far.settimeout(None)
        far.setblocking(True)

        message, fds, _flags, _address = socket.recv_fds(passed, 64, 4)
        result["descriptor"] = [message.decode(), len(fds)]
        os.set_inheritable(fds[0], False)
        os.close(fds[0])
        near.sendall(b"ab")
        result["readv"] = os.readv(far.fileno(), [bytearray(2)])
        tell(result)
        sys.exit(7)
        """,
        before="""
        near, far = socket.socketpair()
        passing, passed = socket.socketpair()
        socket.send_fds(passing, [b"module"], [near.fileno()])
        KEEP += [near.fileno(), far.fileno(), passed.fileno()]
        """,
        lock=f'_wasmer.lockdown("{role}", keep_fds=KEEP)',
    )
    assert ended.status == 7, ended.stderr
    assert ended.told == {
        "threads": list(range(8)),
        "memory": (64 << 20) + (1 << 24),
        "collected": True,
        "slept": True,
        "time": True,
        "random": 16,
        "traceback": "KeyError: 'missing'",
        "timed out": True,
        "poll": True,
        "recv": "ping",
        "socket timeout": True,
        "descriptor": ["module", 1],
        "readv": 2,
    }
    assert ended.stderr == ""


def test_a_worker_signals_its_own_threads() -> None:
    ended = run_locked(
        """
        caught = []
        signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(number))
        signal.raise_signal(signal.SIGUSR1)
        main = threading.main_thread().ident
        thread = threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGUSR1))
        thread.start()
        thread.join()
        tell(caught)
        """
    )
    assert (ended.status, ended.told) == (0, [signal.SIGUSR1] * 2), ended.stderr


def test_a_signal_interrupts_a_blocking_call() -> None:
    ended = run_locked(
        """
        class Interrupted(Exception):
            pass
        def interrupt(number, frame):
            raise Interrupted
        signal.signal(signal.SIGUSR1, interrupt)
        threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
        try:
            time.sleep(30)
        except Interrupted:
            tell("interrupted")
        """
    )
    assert (ended.status, ended.told) == (0, "interrupted"), ended.stderr


def test_a_module_that_came_as_descriptor_is_read_and_mapped() -> None:
    ended = run_locked(
        """
        message, fds, _flags, _address = socket.recv_fds(far, 64, 1)
        size = os.lseek(fds[0], 0, os.SEEK_END)
        mapped = mmap.mmap(fds[0], size, prot=mmap.PROT_READ)
        tell([size, os.pread(fds[0], 4, 0).decode(), mapped[:4].decode()])
        """,
        before="""
        import mmap
        near, far = socket.socketpair()
        KEEP.append(far.fileno())
        module = os.memfd_create("module")
        os.write(module, b"wasm" * 1000)
        socket.send_fds(near, [b"m"], [module])
        """,
    )
    assert (ended.status, ended.told) == (0, [4000, "wasm", "wasm"]), ended.stderr


def test_code_is_written_first_and_then_made_executable() -> None:
    """What the engine does with an artifact: read-write memory that becomes read-execute."""
    ended = run_locked(
        """
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        tell([libc.mprotect(ctypes.c_void_p(address), 4096, 5), libc.mprotect(ctypes.c_void_p(address), 4096, 3)])
        """,
        before="""
        import mmap
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        """,
    )
    assert (ended.status, ended.told) == (0, [0, 0]), ended.stderr


def test_abort_still_ends_the_process() -> None:
    assert run_locked("os.abort()").status == -signal.SIGABRT
