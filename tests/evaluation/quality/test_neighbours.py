from math import prod

import pytest
import torch

from thermotorch.evaluation.quality.neighbours import neighbours


def normals(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(n, high, seed):
    return high * torch.rand(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_set_and_itself_score_one_in_everything():
    same = normals(24, 3, 0)
    assert neighbours(same, same, 5)[:4] == (1.0, 1.0, 1.0, 1.0)


def test_sets_far_apart_score_zero_in_everything():
    near, far = normals(40, 3, 0), 100.0 + normals(50, 3, 1)
    assert neighbours(near, far, 5)[:4] == (0.0, 0.0, 0.0, 0.0)


def test_every_number_is_its_definition_image_by_image():
    x, y, k = normals(18, 2, 0), 0.8 * normals(23, 2, 1) + 0.5, 3

    def radius(points, j):
        return sorted(float((points[j] - other).norm()) for i, other in enumerate(points) if i != j)[k - 1]

    real, generated = ([radius(points, j) for j in range(len(points))] for points in (y, x))
    near = [[float((a - b).norm()) < real[j] for j, b in enumerate(y)] for a in x]
    found = neighbours(x, y, k)
    assert found.precision == sum(map(any, near)) / 18
    assert found.density == pytest.approx(sum(map(sum, near)) / (k * 18))
    assert found.coverage == sum(any(row[j] for row in near) for j in range(23)) / 23
    assert found.recall == sum(any(float((a - b).norm()) < generated[i] for i, a in enumerate(x)) for b in y) / 23


def test_recall_is_precision_with_the_roles_exchanged():
    x, y = normals(300, 4, 0), 0.7 * normals(200, 4, 1)
    assert neighbours(x, y).recall == neighbours(y, x).precision
    assert neighbours(x, y).recall != neighbours(x, y).precision


@pytest.mark.parametrize(("width", "n", "m", "k"), [(1, 60, 60, 5), (6, 40, 100, 3)])
def test_two_sets_of_one_gaussian_have_the_expected_density_and_coverage_of_any_law(width, n, m, k):
    found = torch.tensor(
        [neighbours(normals(n, width, 2 * r), normals(m, width, 2 * r + 1), k)[2:4] for r in range(200)]
    )
    error = found.std(0) / 200**0.5
    coverage = 1.0 - prod((m - i) / (n + m - i) for i in range(1, k + 1))
    assert abs(found[:, 0].mean() - 1.0) < 4 * error[0]
    assert abs(found[:, 1].mean() - coverage) < 4 * error[1]


def test_precision_and_recall_are_the_shares_of_the_supports():
    """Uniform on [0, 2] against uniform on [0, 1]: half of the samples are where real ones are,
    all real ones are met.
    """
    found = neighbours(uniform(3000, 2.0, 0), uniform(3000, 1.0, 1), 5)
    assert found.precision == pytest.approx(0.5, abs=4 * found.precision_stderr)
    assert found.recall > 0.99
    turned = neighbours(uniform(3000, 1.0, 1), uniform(3000, 2.0, 0), 5)
    assert turned.precision > 0.99
    assert turned.recall == pytest.approx(0.5, abs=0.04)


def test_errors_are_the_spread_over_repetitions():
    reference = normals(600, 3, 0)
    found = torch.tensor([neighbours(1.3 * normals(200, 3, 10 + r), reference) for r in range(80)])
    assert found[:, 4].mean().item() == pytest.approx(found[:, 0].std().item(), rel=0.3)  # 80 repetitions: 8 %
    assert found[:, 5].mean().item() == pytest.approx(found[:, 2].std().item(), rel=0.3)


def test_blocks_do_not_show(monkeypatch):
    x, y = normals(200, 4, 0), normals(150, 4, 1)
    whole = neighbours(x, y)
    monkeypatch.setattr("thermotorch.evaluation.quality.blocks._ROWS", 37)
    assert neighbours(x, y) == pytest.approx(whole)


def test_too_few_images_for_the_neighbours_are_refused():
    with pytest.raises(
        ValueError, match="k: expected at least 1 and fewer than the 5 samples and 9 real images, found 5"
    ):
        neighbours(normals(5, 2, 0), normals(9, 2, 1), 5)
