"""Exit codes of every command."""

from __future__ import annotations

from enum import IntEnum

from waspi.errors import EnvelopeError, Fault, TopicError, WaspiError


class ExitCode(IntEnum):
    """What a command's exit code means; the same for all commands."""

    OK = 0
    """Done."""
    JOB_FAILED = 1
    """The guest, its ABI or the job failed; the command itself worked."""
    USAGE = 2
    """The command line, a file that it names or a configuration is wrong."""
    BROKER = 3
    """The broker cannot be reached, refuses, or no answer came in time."""
    DEVICE = 4
    """The board or this installation is at fault."""
    CONFIG = 78
    """``waspi agent`` alone: its configuration or this machine's sandbox is at fault, and will be at the next start
    (EX_CONFIG of sysexits(3); systemd does not start it again)."""
    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT, as shells have it)."""
    PIPE = 141
    """Who read the output has gone (128 + SIGPIPE)."""


_OF_FAULT = {
    Fault.GUEST: ExitCode.JOB_FAILED,
    Fault.PUBLISHER: ExitCode.JOB_FAILED,
    Fault.OPERATOR: ExitCode.USAGE,
    Fault.BROKER: ExitCode.BROKER,
    Fault.DEVICE: ExitCode.DEVICE,
}


def exit_code_of(error: WaspiError) -> ExitCode:
    """Give the code by which a command ends on ``error``; the party at fault decides."""
    return _OF_FAULT[party_of(error)]


def party_of(error: WaspiError) -> Fault:
    """Give the party at fault, seen from the command line: who types a wrong id or value there is the operator."""
    return Fault.OPERATOR if isinstance(error, TopicError | EnvelopeError) else error.fault
