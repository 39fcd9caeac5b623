"""Builds waspi for ARM boards on an x86_64 Debian machine and tests it under QEMU.

Each module that has a ``main`` is a command: ``python3 -m cross.wheel --target aarch64``. Everything is fetched with
apt, pip and cargo, and kept outside the checkout (see :mod:`cross.cache`).
"""
