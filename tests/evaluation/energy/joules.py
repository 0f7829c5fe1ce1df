"""Comparing energies: `pytest.approx` takes all numbers below 1e-12 for equal, and a kT is 4e-21 J."""

from functools import partial

import pytest

close = partial(pytest.approx, rel=1e-6, abs=0)
