"""The whole tree of errors that waspi raises.

Every error says whose fault it is (:class:`Fault`), bears a stable ``kind`` for machines (the string that travels in a
result's ``error.kind``) and a message for people that says what to do. Foreign exceptions (SQLite's, paho's, the
engine's) are translated at the adapter that meets them and stay reachable as ``__cause__``.

The native module raises these same classes; there is no second tree.
"""

from __future__ import annotations

from waspi.fault import Fault as Fault  # noqa: PLC0414 - says that it is re-exported

TYPE_CHECKING = False  # not typing's: importing that would cost every worker 8 ms of its start
if TYPE_CHECKING:
    from typing import ClassVar


class WaspiError(Exception):
    """Base of every error of waspi.

    ``function`` (a guest function's name, ``str``) and ``offset`` (byte offset in the Wasm module, ``int``) are set
    where the engine knows them. ``log`` (``bytes``), ``fuel`` (``int``), ``memory_bytes`` (``int``) and ``run_us``
    (``int``, microseconds) are set on an error that ended a run.
    """

    fault: ClassVar[Fault] = Fault.DEVICE
    kind: ClassVar[str] = "internal"

    function: str | None = None
    offset: int | None = None
    log: bytes = b""
    fuel: int = 0
    memory_bytes: int = 0
    run_us: int = 0

    @property
    def message(self) -> str:
        """What happened and what to do, one line without the kind (``str``)."""
        return str(self.args[0]) if self.args else self.kind


class GuestError(WaspiError):
    """The module is at fault."""

    fault = Fault.GUEST
    kind = "guest"


class ModuleError(GuestError):
    """The module cannot be loaded."""

    kind = "module"


class InvalidModuleError(ModuleError):
    """Not WebAssembly, truncated, or it does not validate."""

    kind = "invalid-module"


class UnsupportedFeatureError(ModuleError):
    """The module needs a Wasm feature that is switched off (threads, memory64, multi-memory, ...)."""

    kind = "unsupported-feature"


class ModuleTooLargeError(ModuleError):
    """The module passes one of the compile bounds (bytes, functions, locals, body size, memory, table)."""

    kind = "module-too-large"


class InvalidScriptError(ModuleError):
    """A script that its engine cannot load: it does not parse, throws while it loads, or lacks the export."""

    kind = "invalid-script"


class LinkError(ModuleError):
    """The module imports something that the host does not offer; the message names it."""

    kind = "unknown-import"


class AbiError(GuestError):
    """The module does not keep to the alloc/append ABI (``guests/ABI.md``)."""

    kind = "abi"


class MissingExportError(AbiError):
    """An export that the ABI description names is not there."""

    kind = "missing-export"


class WrongSignatureError(AbiError):
    """An export has another type than the ABI asks for."""

    kind = "wrong-signature"


class PointerError(AbiError):
    """A pointer or a size that came from the guest lies outside its memory, or is negative."""

    kind = "bad-pointer"


class OverrunError(AbiError):
    """The result is longer than the buffer that it was written to."""

    kind = "buffer-overrun"


class GoldenPairError(GuestError):
    """The module did not give the output that its golden pair says (:class:`waspi.model.release.GoldenPair`)."""

    kind = "golden-pair"


class Trap(GuestError):  # noqa: N818 - the WebAssembly specification's own word
    """The guest trapped (WebAssembly core specification, 4.4)."""

    kind = "trap"


class UnreachableTrap(Trap):
    """``unreachable`` was executed: a panic or an abort in most languages."""

    kind = "unreachable"


class MemoryOutOfBoundsTrap(Trap):
    """Access beyond the linear memory."""

    kind = "memory-out-of-bounds"


class TableOutOfBoundsTrap(Trap):
    """Access beyond a table."""

    kind = "table-out-of-bounds"


class IndirectCallTrap(Trap):
    """``call_indirect`` to a null element or to a function of another type."""

    kind = "bad-indirect-call"


class DivisionByZeroTrap(Trap):
    """Integer division by zero."""

    kind = "division-by-zero"


class IntegerOverflowTrap(Trap):
    """Integer division overflow, or a float that does not fit the integer type."""

    kind = "integer-overflow"


class StackOverflowTrap(Trap):
    """The guest's call stack is used up."""

    kind = "stack-overflow"


class AbortTrap(Trap):
    """AssemblyScript's ``env.abort``: the message holds file, line and column."""

    kind = "abort"


class ExitTrap(Trap):
    """The guest called WASI ``proc_exit``; ``code`` is its status."""

    kind = "exit"
    code: int = 0


class ExceptionError(GuestError):
    """The guest gave up by ``waspi.fail`` and said why: in JavaScript it threw, with file, line and column."""

    kind = "exception"


class LimitError(GuestError):
    """A limit of the run was reached."""

    kind = "limit"


class FuelLimitError(LimitError):
    """All fuel is used up."""

    kind = "fuel-limit"


class MemoryLimitError(LimitError):
    """The module needs more memory at its start than the limit grants; a refused ``memory.grow`` is no error."""

    kind = "memory-limit"


class TimeLimitError(LimitError):
    """The wall-clock deadline has passed."""

    kind = "time-limit"


class OutputLimitError(LimitError):
    """The result is longer than the output limit."""

    kind = "output-limit"


class CanceledError(WaspiError):
    """Somebody asked for the run to stop."""

    fault = Fault.PUBLISHER
    kind = "canceled"


class PublisherError(WaspiError):
    """Whoever sent the message is at fault."""

    fault = Fault.PUBLISHER
    kind = "publisher"


class EnvelopeError(PublisherError):
    """Bytes that are no envelope of this protocol: hostile or broken CBOR, unknown or missing keys, wrong types."""

    kind = "bad-envelope"


class TopicError(PublisherError):
    """A topic, id or Response Topic that the protocol forbids."""

    kind = "bad-topic"


class InputTooLargeError(PublisherError):
    """Input beyond the device's limit."""

    kind = "input-too-large"


class BadInputError(PublisherError):
    """The guest says, by ``waspi.fail``, that the input is not what it takes."""

    kind = "bad-input"


class UnknownModuleError(PublisherError):
    """The device has no module of that name or digest."""

    kind = "unknown-module"


class SignatureError(PublisherError):
    """Unsigned, signed by nobody trusted, for another audience, expired or replayed."""

    kind = "bad-signature"


class UnsignedError(SignatureError):
    """No signature at all, where the device's policy asks for one."""

    kind = "unsigned"


class NotAllowedError(PublisherError):
    """The device's policy forbids what was asked for."""

    kind = "not-allowed"


class DuplicateJobError(PublisherError):
    """The job id was used before with another body."""

    kind = "duplicate-id"


class RetainedJobError(PublisherError):
    """A retained message is state, not a trigger."""

    kind = "retained-job"


class ExpiredError(PublisherError):
    """The job's expiry had passed before it ran."""

    kind = "expired"


class QueueFullError(PublisherError):
    """The device's queue is full: send later or slower."""

    kind = "queue-full"


class OperatorError(WaspiError):
    """Configuration, keys or a command line are at fault."""

    fault = Fault.OPERATOR
    kind = "operator"


class ConfigError(OperatorError):
    """The configuration file does not say what it should; the message names file and key."""

    kind = "config"


class UsageError(OperatorError):
    """A command was called in a way that it does not know."""

    kind = "usage"


class KeyFileError(OperatorError):
    """A key file is missing, unreadable or of the wrong kind."""

    kind = "key-file"


class RepositoryError(OperatorError):
    """The update repository is missing, damaged, or does not have what was asked for."""

    kind = "repository"


class NewerJournalError(OperatorError):
    """A newer waspi has written the journal; it is left as it is, and the agent does not start."""

    kind = "newer-journal"


class BrokerError(WaspiError):
    """The broker, or the way to it, is at fault.

    ``code``: the reason code that the broker gave (MQTT 5.0, 2.4), 0 to 255, or ``None`` when it gave none.
    """

    fault = Fault.BROKER
    kind = "broker"

    def __init__(self, message: str = "", code: int | None = None) -> None:
        super().__init__(*([message] if message else []))
        self.code = code

    @property
    def final(self) -> bool:
        """Whether the same message would be refused at every later time, too (``bool``).

        A quota (0x97) or an access list (0x87) may be different tomorrow: who tries again decides for how long.
        """
        return self.code in _FINAL


_FINAL = frozenset({0x90, 0x95, 0x99, 0x9A, 0x9B})
"""Topic name invalid, packet too large, payload format invalid, retain or QoS not supported."""


class UnreachableBrokerError(BrokerError):
    """No connection: name, port, network."""

    kind = "broker-unreachable"


class BrokenPacketError(BrokerError):
    """The broker sent bytes that are no packet of MQTT 5.0, or one that nobody asked for.

    ``packet_id``: that of a QoS 1 message which can never be read, so that it can be acknowledged; else 0.
    """

    kind = "broken-packet"

    def __init__(self, message: str = "", packet_id: int = 0) -> None:
        super().__init__(message)
        self.packet_id = packet_id


class RefusedByBrokerError(BrokerError):
    """The broker answered with a reason code that is no success (MQTT 5.0, 2.4)."""

    kind = "broker-refused"


class SessionTakenOverError(RefusedByBrokerError):
    """A second client uses this client id (MQTT 5.0, reason 0x8E): told, not fought with."""

    kind = "session-taken-over"


class UndeliverableError(BrokerError):
    """The broker can never take the result: it is larger than a packet may be, or refused for good."""

    kind = "undeliverable"


class UnheardError(BrokerError):
    """The broker took a message that nobody is subscribed to (MQTT 5.0, 3.4.2.1, reason 0x10), and dropped it."""

    kind = "unheard"


class TlsError(BrokerError):
    """The TLS handshake failed: certificate, name, expiry, protocol."""

    kind = "tls"


class NoAnswerError(BrokerError):
    """Nothing came back in the time that was allowed."""

    kind = "no-answer"


class DeviceError(WaspiError):
    """This board or this installation is at fault."""

    fault = Fault.DEVICE
    kind = "device"


class StorageError(DeviceError):
    """The disk is full or broken, or state on it is damaged."""

    kind = "storage"


class ArtifactError(DeviceError):
    """A compiled artifact is damaged or was made by another engine; it is rebuilt."""

    kind = "artifact"


class WorkerError(DeviceError):
    """A worker process died, did not start, or answered with something that is no answer."""

    kind = "worker"


class CompileError(DeviceError):
    """The compiler gave up on a module that validates: time, memory or a bug of its own."""

    kind = "compile"


class CrashedDeviceError(DeviceError):
    """The device went down each time the job ran, three times; it is not run again."""

    kind = "crashed-device"


class LockdownError(DeviceError):
    """A part of the sandbox that the configuration demands is not to be had on this kernel."""

    kind = "lockdown"


class IllegalTransitionError(DeviceError):
    """A change of state that the lifecycle's table does not have; the state stays as it was. A bug of the caller."""

    kind = "illegal-transition"


def told_error(fault: Fault, kind: str, message: str) -> WaspiError:
    """Give the error that somebody else met and told, of the class with that fault and kind, so that it can be caught.

    Where this version has no such class it is the root of its fault, and bears ``kind`` all the same.
    """
    root = _ROOTS[fault]
    pending: list[type[WaspiError]] = [root, CanceledError]
    for each in pending:
        if each.fault is fault and each.kind == kind:
            return each(message)
        pending += each.__subclasses__()
    error = root(message)
    error.kind = kind  # type: ignore[misc]  # of this one error
    return error


_ROOTS: dict[Fault, type[WaspiError]] = {
    Fault.GUEST: GuestError,
    Fault.PUBLISHER: PublisherError,
    Fault.OPERATOR: OperatorError,
    Fault.BROKER: BrokerError,
    Fault.DEVICE: DeviceError,
}
