"""A campaign of chance: kills, damaged files, payloads, races and extreme numbers, other ones for another seed.

    THERMOTORCH_CAMPAIGN_SEED=7 pytest tests/campaign

The chance of a test depends on the seed and on the test's name alone, so a failure repeats.
"""

import os
import random

import pytest

SEED = os.environ.get("THERMOTORCH_CAMPAIGN_SEED", "0")


def pytest_report_header() -> str:
    return f"campaign: THERMOTORCH_CAMPAIGN_SEED={SEED}"


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")
