"""The boards that waspi is built for, and what each of them is called by every tool."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One kind of board."""

    name: str
    """What the commands here call it."""
    boards: str
    """Which Raspberry Pis run it."""
    triple: str
    """Rust's target triple."""
    debian: str
    """Debian's architecture."""
    gcc: str
    """Prefix of the cross compiler, also Debian's multiarch folder."""
    wheel_platform: str
    """The platform tag of its wheels: glibc 2.34, so that bookworm's 2.36 and trixie's 2.41 both take them."""
    pip_platforms: tuple[str, ...]
    """Platform tags that pip on the board takes, newest glibc first."""
    qemu: str
    """The user-mode emulator."""
    suites: dict[str, str]
    """Debian suites it is tested on, with their Python's version."""
    back_end: str = ""
    """What Cranelift calls the processor; empty where the engine is an interpreter."""
    lto: str = "off"
    """Link-time optimisation: worth it where the engine is small; Wasmer's takes minutes more for the same size."""
    profile: tuple[str, ...] = ()
    """Cargo's configuration beyond the manifest's."""


def _platforms(machine: str) -> tuple[str, ...]:
    return (*(f"manylinux_2_{minor}_{machine}" for minor in (36, 34, 31, 28, 17)), f"manylinux2014_{machine}")


def _small_but(*fast: str) -> tuple[str, ...]:
    """Compiled for size, except for what runs guests or hashes them."""
    return (
        'profile.release.package."*".opt-level="z"',
        'profile.release.package.waspi-native.opt-level="s"',
        *(f"profile.release.package.{name}.opt-level=3" for name in fast),
    )


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="aarch64",
            boards="Pi 3, 4, 5, Zero 2 with 64-bit Raspberry Pi OS",
            triple="aarch64-unknown-linux-gnu",
            debian="arm64",
            gcc="aarch64-linux-gnu",
            wheel_platform="manylinux_2_34_aarch64",
            pip_platforms=_platforms("aarch64"),
            qemu="qemu-aarch64",
            suites={"trixie": "3.13", "bookworm": "3.11"},
            back_end="arm64",
        ),
        Target(
            name="armv7",
            boards="Pi 2, 3, 4, Zero 2 with 32-bit Raspberry Pi OS",
            triple="armv7-unknown-linux-gnueabihf",
            debian="armhf",
            gcc="arm-linux-gnueabihf",
            wheel_platform="manylinux_2_34_armv7l",
            pip_platforms=_platforms("armv7l"),
            qemu="qemu-arm",
            suites={"trixie": "3.13"},
            lto="fat",
            profile=_small_but("wasmi", "wasmi_core", "wasmi_ir", "wasmi_collections", "sha2"),
        ),
    )
}


def add_target_argument(parser: argparse.ArgumentParser) -> None:
    """Give a command its ``--target``."""
    parser.add_argument(
        "--target",
        required=True,
        choices=sorted(TARGETS),
        help="; ".join(f"{target.name}: {target.boards}" for target in TARGETS.values()),
    )
