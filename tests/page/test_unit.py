"""The one unit that explains the others obeys the law that is drawn beside it."""

import torch

from tests.page.engines import answer


def test_places_are_counted_as_the_boltzmann_law_says(tmp_path):
    """A double well, a tilted one and a single one, 256 copies for 4,000 steps: about 10^4 independent places or more.

    Half the sum of |counted - law| over 60 bins is then at most about 1 % by chance, and 1 % by the time step.
    """
    laws = [
        {"j2": -0.5, "tilt": 0.0, "temperature": 0.07},
        {"j2": -0.5, "tilt": 0.1, "temperature": 0.1},
        {"j2": 0.5, "tilt": -0.3, "temperature": 0.2},
    ]
    for found in answer("browser", "unit_counts.js", {"laws": laws, "steps": 4000}, tmp_path):
        counted, law = (torch.tensor(found[name]) for name in ("counted", "law"))
        assert 0.5 * (counted - law).abs().sum() < 0.02
