"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The machine is shared, and may be a board: wall-clock time of an example, or of making one, would test its load.
# Failures print what reproduces them.
settings.register_profile("waspi", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("waspi")
