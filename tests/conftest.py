"""Properties are checked on the same examples every time, so that CI says the same twice; `make fuzz` tries new ones."""

import os
import re

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HEARTH_HYPOTHESIS", "repeatable"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test whose name differs from run to run: its examples are drawn from it, so they would differ too."""
    if named_by_address := [item.nodeid for item in items if re.search(r" at 0x", item.nodeid)]:
        raise pytest.UsageError(f"give these parameters ids of their own: {named_by_address}")
