"""Whether a job fits a device, by what the device says that it takes: asked before the job is sent.

A packet that is larger than a device asked for never reaches it: the broker drops it (MQTT 5.0, 3.1.2.11.4), and
nobody would answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from waspi.errors import InputTooLargeError, ModuleTooLargeError, WaspiError
from waspi.model.result import JobError, Result
from waspi.model.state import JobState
from waspi.mqtt.packet import publish

if TYPE_CHECKING:
    from waspi.fleet.pending_job import PendingJob
    from waspi.fleet.registry import DeviceView, Registry
    from waspi.mqtt.message import Outgoing

FITS_ALWAYS: Final = 15 * 1024
"""Bytes of a job's body that fit the smallest packet that a device can be set to take, 16 KiB."""
_LENGTH_BYTES: Final = 3
"""By which the length in a packet's fixed header grows at most with the payload (MQTT 5.0, 1.5.5)."""


def check_fit(job: PendingJob, message: Outgoing, registry: Registry) -> None:
    """Raise :class:`InputTooLargeError` or :class:`ModuleTooLargeError` when the job's device cannot take it.

    A device that says nothing of its limits takes everything. Of a group, those that the packet would never reach are
    answered for as REJECTED, so that nobody waits for them; it raises when no member can take the job.
    """
    if job.device is not None:
        refused = _misfit(job, message, registry.get(job.device))
        if refused is not None:
            raise refused
        return
    members = [view for view in registry.all().values() if job.group in view.groups]
    misfits = {view.id: refused for view in members if (refused := _misfit(job, message, view)) is not None}
    if misfits and len(misfits) == len(members):
        raise next(iter(misfits.values()))
    for view in members:
        if view.id in misfits and _too_large_packet(job, message, view) is not None:
            error = misfits[view.id]
            job.take(Result(job.id, view.id, JobState.REJECTED, error=JobError(error.fault, error.kind, error.message)))


def _misfit(job: PendingJob, message: Outgoing, view: DeviceView) -> WaspiError | None:
    if view.reported is None:
        return None
    limits = view.reported.message_limits
    if limits.module_bytes is not None and job.module_bytes > limits.module_bytes:
        return ModuleTooLargeError(
            f"job {job.id} has a module of {job.module_bytes} bytes, and device {view.id} takes modules of "
            f"{limits.module_bytes} bytes at most (limits.module_bytes): send a smaller one, or deploy it and name it"
        )
    if limits.input_bytes is not None and job.input_bytes > limits.input_bytes:
        return InputTooLargeError(
            f"job {job.id} has an input of {job.input_bytes} bytes, and device {view.id} takes "
            f"{limits.input_bytes} bytes at most (limits.input_bytes): send less, or raise queue.input_kib there"
        )
    return _too_large_packet(job, message, view)


def _too_large_packet(job: PendingJob, message: Outgoing, view: DeviceView) -> WaspiError | None:
    largest = None if view.reported is None else view.reported.message_limits.packet_bytes
    if largest is None or len(job.body) <= FITS_ALWAYS:
        return None
    size = len(publish(replace(message, payload=b""), 1)) + len(message.payload) + _LENGTH_BYTES
    if size <= largest:
        return None
    return InputTooLargeError(
        f"job {job.id} makes a packet of {size} bytes, and device {view.id} takes packets of {largest} bytes at most "
        "(limits.packet_bytes): send less, name a module that it has, or raise broker.max_packet_kib there"
    )
