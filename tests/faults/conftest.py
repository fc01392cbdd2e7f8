"""What the tests of kills share."""

from __future__ import annotations

import pytest
from faults.harness import undisturbed


@pytest.fixture(scope="session")
def usual(tmp_path_factory):
    """A whole run of the tiny sample that nothing happened to, with its times. Not to be harmed."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))
