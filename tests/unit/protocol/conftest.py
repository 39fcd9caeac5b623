from __future__ import annotations

from hypothesis import settings

# The machine is shared: a deadline in wall-clock time would test its load. Failures print what reproduces them.
settings.register_profile("waspi", deadline=None, print_blob=True)
settings.load_profile("waspi")
