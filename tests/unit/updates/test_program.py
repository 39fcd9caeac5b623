"""The updater's program where something is not as it should be."""

from __future__ import annotations

import selectors
import sys
import time
from pathlib import Path

from waspi.updates.updater_messages import Finished, decode_message
from waspi.updates.updater_process import UpdaterProcess

AGENT = Path(__file__).resolve().parents[3] / "agent"
WITHOUT = (
    "import sys;sys.path.insert(0, sys.argv[1]);sys.modules['tuf']=None;"
    "import builtins;real=builtins.__import__\n"
    "def none(name,*rest,**more):\n"
    " if name.partition('.')[0]=='tuf': raise ModuleNotFoundError(name, name='tuf')\n"
    " return real(name,*rest,**more)\n"
    "builtins.__import__=none\n"
    "from waspi.updates.__main__ import main;main()"
)


def run(program: tuple[str, ...]) -> tuple[list[bytes], str]:
    said: list[bytes] = []
    ended: list[str] = []
    with selectors.DefaultSelector() as selector:
        updater = UpdaterProcess(selector, program, said.append, ended.append)
        assert updater.pid > 0
        end = time.monotonic() + 30
        while not ended:
            assert time.monotonic() < end
            for key, _ in selector.select(0.2):
                key.data()
    return said, ended[0]


def test_without_python_tuf_it_says_what_to_install() -> None:
    said, ended = run((sys.executable, "-I", "-c", WITHOUT, str(AGENT)))
    word = decode_message(said[0])
    assert isinstance(word, Finished)
    assert word.kind == "config"
    assert "-m pip install tuf 'securesystemslib[crypto]' cryptography urllib3" in word.message
    assert "status 0" in ended


def test_a_program_that_dies_tells_its_last_words() -> None:
    said, ended = run((sys.executable, "-I", "-c", "raise SystemExit('the disk is on fire')"))
    assert said == []
    assert "left with status 1: the disk is on fire" in ended


def test_answers_that_nobody_reads_are_bounded() -> None:
    with selectors.DefaultSelector() as selector:
        deaf = UpdaterProcess(selector, (sys.executable, "-I", "-c", "import time;time.sleep(60)"), print, print)
        taken = sum(deaf.send(bytes(64 * 1024)) for _ in range(200))
        assert 20 < taken < 60
        deaf.close()


def test_its_last_word_is_heard_although_it_did_not_read_all() -> None:
    """A socket that is closed with something unread makes the kernel report a reset before what was said."""
    last = "import socket,time;s=socket.socket(fileno=3);s.recv(9);s.send(b'last')"
    for _ in range(5):
        said: list[bytes] = []
        ended: list[str] = []
        with selectors.DefaultSelector() as selector:
            updater = UpdaterProcess(selector, (sys.executable, "-I", "-c", last), said.append, ended.append)
            for _ in range(3):
                updater.send(b"something")
            end = time.monotonic() + 30
            while not ended:
                assert time.monotonic() < end
                time.sleep(0.05)  # so that both are there when it is read: what it said, and its end
                for key, _ in selector.select(0.2):
                    key.data()
        assert said == [b"last"]
