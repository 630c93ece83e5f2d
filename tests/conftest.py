"""Properties are checked on the same examples every time, so that CI says the same twice; `make fuzz` tries new ones."""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HEARTH_HYPOTHESIS", "repeatable"))
