"""Whose fault an error is."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """The party that has to act so that the error goes away."""

    GUEST = "guest"
    """The WebAssembly module: its author has to change it."""
    PUBLISHER = "publisher"
    """Whoever sent the job: the envelope, its input, its signature or its topic."""
    OPERATOR = "operator"
    """Whoever runs the fleet: configuration, keys, command lines."""
    BROKER = "broker"
    """The MQTT broker, or the network on the way to it."""
    DEVICE = "device"
    """This board or this installation of waspi: disk, kernel, worker processes."""
