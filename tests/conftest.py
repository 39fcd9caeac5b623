"""What holds for every test."""

from hypothesis import settings

# Examples write to disks and talk to processes on machines that others use too: how long one takes proves nothing.
settings.register_profile("waspi", deadline=None)
settings.load_profile("waspi")
