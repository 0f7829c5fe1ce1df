"""Fields of couplings: the vector instructions and the loop give the same numbers, those of a product in Python."""

import pytest
import torch

from tests.page.engines import ENGINES, answer


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (10, 64), (130, 33)])
def test_both_ways_agree_to_the_last_bit(engine, rows, columns, tmp_path):
    """Units that no block of four divides, in the midst of others, which stay as they are."""
    generator = torch.Generator().manual_seed(rows)
    levels = torch.randint(-127, 128, (rows, columns), generator=generator)
    x = torch.randn(columns + 7, 4, generator=generator, dtype=torch.float64)
    field = torch.randn(rows + 5, 4, generator=generator, dtype=torch.float64)
    given = {
        "to": {"start": 2, "size": rows}, "from": {"start": 4, "size": columns}, "scale": 0.01,
        "levels": levels.flatten().tolist(), "x": x.flatten().tolist(), "field": field.flatten().tolist(),
    }  # fmt: skip
    found = answer(engine, "products.js", given, tmp_path)
    assert found["vectors"]
    assert found["fast"] == found["loop"]
    field[2 : 2 + rows] += 0.01 * (levels.double() @ x[4 : 4 + columns])
    torch.testing.assert_close(torch.tensor(found["fast"], dtype=torch.float64).view_as(field), field)
