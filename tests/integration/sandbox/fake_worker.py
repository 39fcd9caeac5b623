"""A worker without an engine, and with bad manners on request: the first input says what it does.

Started through ``PoolSettings.worker_command`` in place of the real program; speaks the same frames.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "agent"))

from waspi.sandbox import frame
from waspi.sandbox.program import SOCKET_FD, Receiver


def say(kind: int, seq: int, body: bytes) -> None:
    """Write one frame."""
    raw(frame.HEADER.pack(frame.MAGIC, kind, seq, len(body)) + body)


def raw(data: bytes) -> None:
    """Write anything."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(SOCKET_FD, rest) :]


def answer(outputs: list[bytes], log: bytes = b"", count: int | None = None, fuel: int = 1, run_us: int = 7) -> bytes:
    """Body of an ANSWER."""
    sizes = b"".join(frame.SIZE.pack(len(output)) for output in outputs)
    shown = len(outputs) if count is None else count
    return frame.ANSWER_HEAD.pack(fuel, 65536, run_us, len(log), shown) + sizes + log + b"".join(outputs)


def failure(kind: bytes, message: bytes, log: bytes = b"") -> bytes:
    """Body of a FAILURE."""
    head = frame.FAILURE_HEAD.pack(1, 65536, 7, 99, len(kind), 4, len(message), len(log))
    return head + kind + b"func" + message + log


def inputs_of(body: memoryview) -> list[bytes]:
    """The inputs of a RUN."""
    fields = frame.RUN_HEAD.unpack_from(body)
    at = frame.RUN_HEAD.size + sum(fields[3:8]) + fields[10]  # names, key, environment; script
    count = fields[9]
    sizes = [size for (size,) in frame.SIZE.iter_unpack(body[at : at + 4 * count])]
    at += 4 * count
    found = []
    for size in sizes:
        found.append(bytes(body[at : at + size]))
        at += size
    return found


def die(number: int) -> None:
    """End by a signal."""
    os.kill(os.getpid(), number)


def leave_with_last_words() -> None:
    """End with a status and something on stderr."""
    os.write(2, b"Traceback\nlast words\x07 of mine\n")
    os._exit(3)


def starve() -> None:
    """As Rust's allocator ends a process."""
    os.write(2, b"memory allocation of 65536 bytes failed\n")
    die(signal.SIGABRT)


def leave_in_mid_frame(seq: int) -> None:
    """Promise more than comes."""
    raw(frame.HEADER.pack(frame.MAGIC, frame.ANSWER, seq, 1000) + b"half")
    os._exit(0)


def close_and_stay() -> None:
    """Look dead."""
    os.close(SOCKET_FD)
    signal.pause()


def answer_twice(seq: int) -> None:
    """One answer too many."""
    say(frame.ANSWER, seq, answer([b"x"]))
    say(frame.ANSWER, seq, answer([b"x"]))


def answer_and_die(seq: int) -> None:
    """The answer is whole."""
    say(frame.ANSWER, seq, answer([b"x"]))
    die(signal.SIGKILL)


def note(line: bytes) -> bytes:
    """Write down that a run has begun: ``<word> <file> <text>`` puts the text into the file; what the word is."""
    word, _, rest = line.partition(b" ")
    if rest.startswith(b"/"):
        path, _, text = rest.partition(b" ")
        with open(path, "ab") as file:  # noqa: PTH123 - bytes
            file.write(text + b"\n")
    return word


MISDEEDS = {
    b"segv": lambda _seq: die(signal.SIGSEGV),
    b"kill": lambda _seq: die(signal.SIGKILL),
    b"exit": lambda _seq: leave_with_last_words(),
    b"garbage": lambda _seq: raw(os.urandom(4096)),
    b"huge": lambda seq: raw(frame.HEADER.pack(frame.MAGIC, frame.ANSWER, seq, 0xFFFFFFFF)),
    b"other-seq": lambda seq: say(frame.ANSWER, seq + 1, answer([b"x"])),
    b"two-answers": answer_twice,
    b"wrong-count": lambda seq: say(frame.ANSWER, seq, answer([b"x", b"y"])),
    b"lying-sizes": lambda seq: say(frame.ANSWER, seq, answer([b"x"])[:-1]),
    b"negative": lambda seq: say(frame.ANSWER, seq, answer([b"x"], fuel=-1)),
    b"blames-publisher": lambda seq: say(frame.FAILURE, seq, failure(b"bad-signature", b"it was him")),
    b"unasked-cancel": lambda seq: say(frame.FAILURE, seq, failure(b"canceled", b"no more")),
    b"artifact": lambda seq: say(frame.FAILURE, seq, failure(b"artifact", b"made by another engine")),
    b"trap": lambda seq: say(frame.FAILURE, seq, failure(b"unreachable", b"a\nmessage \x1b[31mwith colour", b"log")),
    b"device": lambda seq: say(frame.FAILURE, seq, failure(b"device", b"no address space for 4096 bytes")),
    b"starved": lambda _seq: starve(),
    b"long-ago": lambda seq: say(frame.ANSWER, seq, answer([b"x"], fuel=1 << 62, run_us=(1 << 63) - 1)),
    b"half": leave_in_mid_frame,
    b"close": lambda _seq: close_and_stay(),
    b"hang": lambda _seq: signal.pause(),
    b"answer-and-die": answer_and_die,
}


def main() -> None:
    """Serve; ``sys.argv[1]`` is a way of starting badly, or ``-``."""
    way = sys.argv[1]
    if way == "dies":
        os.write(2, b"no such engine\n")
        os._exit(9)
    if way == "mute":
        signal.pause()
    if way == "garbled":
        raw(b"GET / HTTP/1.1\r\n\r\n")
        signal.pause()
    receiver = Receiver()
    posture = {"engine": "fake 1", "posture.seccomp": "off: fake" if way == "open" else "on"}
    say(frame.HELLO, 0, frame.pack_table(posture))
    while (request := receiver.next()) is not None:
        _kind, seq, body, fd = request
        if fd is not None:
            os.close(fd)
        inputs = inputs_of(body)
        misdeed = MISDEEDS.get(note(inputs[0]))
        if misdeed is not None:
            misdeed(seq)
        else:
            say(frame.ANSWER, seq, answer(inputs, log=b"echo"))


main()
