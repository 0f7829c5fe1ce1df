import pytest

from thermotorch.evaluation.protocol import Protocol


def test_a_protocol_is_rebuilt_from_its_plain_settings():
    assert Protocol(**Protocol.full().to_dict()) == Protocol.full()


def test_another_number_of_samples_moves_the_subsets_only_where_it_must():
    settings = {**Protocol().to_dict(), "kernel_subset_size": 1000}  # more than the 256 samples that stand there
    assert Protocol.of(settings, 10_000, seed=3) == Protocol(num_samples=10_000, kernel_subset_size=1000, seed=3)
    assert Protocol.of(settings, 400) == Protocol(num_samples=400, kernel_subset_size=200)
    assert Protocol.of(Protocol().to_dict()) == Protocol()
    assert Protocol.of(settings, 1000) == Protocol(num_samples=1000, kernel_subset_size=1000), "all of them fit"
    assert Protocol.of({**settings, "neighbours": 1}, 3).kernel_subset_size == 2, "the least there can be"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 2}, "num_samples: expected at least 3, found 2"),
        (
            {"num_samples": 60},
            "kernel_subset_size: expected at most num_samples = 60, found 100; write kernel_subset_size=30",
        ),
        ({"batch_size": 0}, "batch_size: expected at least 1, found 0"),
        ({"num_samples": 5, "kernel_subset_size": 2}, "neighbours: expected fewer than num_samples = 5, found 5"),
        ({"curve_points": -1}, "curve_points: expected at least 0, found -1"),
        ({"steps": 0}, "steps: expected at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**settings)


LEAST = {"num_samples": 3, "seed": 0, "batch_size": 1, "steps": 1, "kernel_subsets": 1, "kernel_subset_size": 2,
         "neighbours": 1, "resamples": 2, "curve_points": 0}  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_settings_begin_where_their_numbers_mean_something(name):
    """Three samples have a covariance, two images a kernel distance, two resamples an interval."""
    others = {"num_samples": 3, "kernel_subset_size": 2, "neighbours": 1}
    assert getattr(Protocol(**{**others, name: LEAST[name]}), name) == LEAST[name]
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        Protocol(**{**others, name: LEAST[name] - 1})


def test_neighbours_and_subsets_fit_into_the_samples():
    assert Protocol(num_samples=10, kernel_subset_size=10, neighbours=9).neighbours == 9
    for setting in ({"kernel_subset_size": 11}, {"neighbours": 10}):
        with pytest.raises(ValueError, match=f"^{next(iter(setting))}: expected"):
            Protocol(**{"num_samples": 10, "kernel_subset_size": 10, "neighbours": 9, **setting})


@pytest.mark.parametrize("name", ["name", "sampler", "execution", "precision"])
def test_names_are_texts(name):
    with pytest.raises(TypeError, match=f"^{name}: expected a text, found 3"):
        Protocol(**{name: 3})


def test_an_unknown_precision_is_refused_with_the_closest():
    assert Protocol(precision="bf16").to_dict()["precision"] == "bf16"
    with pytest.raises(ValueError, match="^precision: unknown 'bf61', expected one of .*did you mean 'bf16'"):
        Protocol(precision="bf61")
