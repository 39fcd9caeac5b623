"""Frozen values that every part of waspi speaks: jobs, results, modules, devices. No I/O, no foreign imports."""
