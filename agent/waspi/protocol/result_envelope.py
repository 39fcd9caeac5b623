"""The result envelope: CBOR bytes <-> :class:`waspi.model.result.Result`.

``{v: 1, id, device, state, output | outputs, error?: {fault, kind, message, function?, offset?}, log?, usage: {fuel,
memory_bytes, run_us, queue_us, module?}, attempt, module?}``. ``output`` is there when the job had one ``input`` and
succeeded, ``outputs`` when it had ``inputs``: then one per input that was worked on, which after a failure may be
fewer.
"""

from __future__ import annotations

from typing import Final

from waspi.errors import EnvelopeError, Fault
from waspi.model.result import JobError, ModuleOrigin, Result, Usage
from waspi.model.state import JobState
from waspi.protocol import cbor, field
from waspi.protocol.job_envelope import MAX_INPUTS

MAX_BYTES: Final = 256 * 1024 * 1024
"""Longest result that is decoded when the caller does not say otherwise: MQTT's largest packet."""
CONTENT_TYPE: Final = "application/cbor"
"""MQTT Content Type of every CBOR envelope."""

_KEYS: Final = frozenset(
    ("v", "id", "device", "state", "output", "outputs", "error", "log", "usage", "attempt", "module")
)
_ERROR_KEYS: Final = frozenset(("fault", "kind", "message", "function", "offset"))
_USAGE_KEYS: Final = frozenset(("fuel", "memory_bytes", "run_us", "queue_us", "module"))
_FINAL: Final = tuple(state.value for state in JobState if state.final)
_FAULTS: Final = tuple(fault.value for fault in Fault)
_ORIGINS: Final = tuple(origin.value for origin in ModuleOrigin)


def encode_result(result: Result) -> bytes:
    """Encode a result deterministically. This is the device's hot path: nothing is checked here.

    Texts of an error are cut at 1024 characters, and what is no Unicode in them is replaced.
    """
    # Keys stand in deterministic order (shorter first, then by bytes), which encode_sorted relies on.
    usage = result.usage
    used: dict[str, object] = {"fuel": usage.fuel}
    if usage.module is not None:
        used["module"] = usage.module._value_  # the plain string, at a tenth of the cost of .value
    used["run_us"] = usage.run_us
    used["queue_us"] = usage.queue_us
    used["memory_bytes"] = usage.memory_bytes
    fields: dict[str, object] = {"v": field.VERSION, "id": result.id}
    if result.log:
        fields["log"] = result.log
    if result.error is not None:
        fields["error"] = _error_fields(result.error)
    fields["state"] = result.state._value_
    fields["usage"] = used
    fields["device"] = result.device
    if result.module is not None:
        fields["module"] = result.module
    if not result.batch and result.outputs:
        fields["output"] = result.outputs[0]
    fields["attempt"] = result.attempt
    if result.batch:
        fields["outputs"] = list(result.outputs)
    return cbor.encode_sorted(fields)


def decode_result(data: bytes, *, max_bytes: int = MAX_BYTES) -> Result:
    """Decode a result; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    return result_from(cbor.decode(data, max_bytes=max_bytes))


def result_from(value: object) -> Result:
    """Read a result from a decoded data item; raises :class:`EnvelopeError` that names the wrong field."""
    fields = field.envelope(value, "result", _KEYS)
    get = fields.get
    state = JobState(field.member(get("state"), "result: 'state'", _FINAL))
    batch = "outputs" in fields
    if batch and "output" in fields:
        raise EnvelopeError("result: 'output' and 'outputs' are both there")
    if batch:
        listed = field.items(get("outputs"), "result: 'outputs'", most=MAX_INPUTS)
        outputs = tuple(field.octets(item, "result: each of 'outputs'") for item in listed)
    else:
        outputs = (field.octets(get("output"), "result: 'output'"),) if "output" in fields else ()
    error = _error(fields["error"]) if "error" in fields else None
    if (state is JobState.SUCCEEDED) is not (error is None):
        raise EnvelopeError(f"result: state {state} {'with an' if error else 'without an'} 'error'")
    if state is JobState.SUCCEEDED and not batch and not outputs:
        raise EnvelopeError("result: state SUCCEEDED without 'output'")
    return Result(
        id=field.identifier(fields, "id", "result"),
        device=field.identifier(fields, "device", "result"),
        state=state,
        outputs=outputs,
        batch=batch,
        error=error,
        log=field.octets(fields["log"], "result: 'log'") if "log" in fields else b"",
        usage=_usage(get("usage")),
        attempt=field.integer(get("attempt"), "result: 'attempt'"),
        module=field.text(fields["module"], "result: 'module'", longest=256) if "module" in fields else None,
    )


def _error_fields(error: JobError) -> dict[str, object]:
    fields: dict[str, object] = {"kind": error.kind, "fault": error.fault.value}
    if error.offset is not None:
        fields["offset"] = error.offset
    fields["message"] = _unicode(error.message)
    if error.function is not None:
        fields["function"] = _unicode(error.function)
    return fields


def _unicode(text: str) -> str:
    # A message may quote what a guest or the system said, lone surrogates included; they have no UTF-8.
    return text[: field.MAX_TEXT].encode("utf-8", "replace").decode()


def _error(value: object) -> JobError:
    fields = field.closed(value, "result: 'error'", _ERROR_KEYS)
    get = fields.get
    return JobError(
        fault=Fault(field.member(get("fault"), "result: 'error.fault'", _FAULTS)),
        kind=field.identifier(fields, "kind", "result: 'error'"),
        message=field.text(get("message"), "result: 'error.message'"),
        function=field.text(fields["function"], "result: 'error.function'") if "function" in fields else None,
        offset=field.integer(fields["offset"], "result: 'error.offset'") if "offset" in fields else None,
    )


def _usage(value: object) -> Usage:
    fields = field.closed(value, "result: 'usage'", _USAGE_KEYS)

    def amount(key: str) -> int:
        return field.integer(fields.get(key), f"result: 'usage.{key}'")

    origin = field.member(fields["module"], "result: 'usage.module'", _ORIGINS) if "module" in fields else None
    return Usage(
        fuel=amount("fuel"),
        memory_bytes=amount("memory_bytes"),
        run_us=amount("run_us"),
        queue_us=amount("queue_us"),
        module=None if origin is None else ModuleOrigin(origin),
    )
