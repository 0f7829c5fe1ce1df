import statistics

import pytest

from scripts.pages.training_seeds import HEADLINES, enter, seeds_table
from thermotorch.zoo.rows import Row

NAME = "rbm.mnist"


def card(value: float, seed: int, *, samples: int = 1000, stderr: float = 0.05, name: str = NAME) -> dict:
    rows = [Row("recognised fraction", 0.5, "", samples, 0, "measured")]
    rows += [Row(HEADLINES[name], value, "", samples, 0, "measured", stderr)] if name in HEADLINES else []
    training = {"command": f"thermotorch-train seed={seed}", "seed": seed, "seconds": 1.0}
    return {"name": name, "metrics": [row.to_dict() for row in rows], "energy": [], "training": training}


def cells(text: str) -> list[list[str]]:
    lines = text.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_mean_and_standard_deviation_are_over_the_shipped_model_and_the_other_seeds():
    record = enter([card(2.5, 2), card(2.1, 1)], {})
    ((_, number, samples, shipped, others, mean, deviation, varied),) = cells(
        seeds_table(record, {NAME: card(2.3, 0), "ddpm.mnist": {}})
    )
    assert number == "Fréchet distance (thermotorch-mnist-v1)" and samples == "1,000" and varied == "all"
    assert shipped == "0: 2.300 ± 0.050"
    assert others == "1: 2.100 ± 0.050; 2: 2.500 ± 0.050"
    assert float(mean) == pytest.approx(2.3) and float(deviation) == pytest.approx(statistics.stdev([2.3, 2.1, 2.5]))


def test_the_commands_of_the_trainings_stand_below():
    text = seeds_table(enter([card(2.5, 2), card(2.1, 1)], {}), {NAME: card(2.3, 0)})
    assert text.splitlines()[-2:] == ["    thermotorch-train seed=1", "    thermotorch-train seed=2"]


def test_a_training_replaces_that_of_the_same_seed_and_keeps_the_others():
    first = enter([card(2.5, 2), card(2.1, 1)], {})
    second = enter([card(2.7, 2), card(0.9, 1, name="classifier.end_to_end")], first)
    assert list(second) == ["classifier.end_to_end", NAME]
    assert [each["value"] for each in second[NAME].values()] == [2.1, 2.7]
    assert first[NAME]["2"]["value"] == 2.5


def test_a_shipped_model_that_was_measured_with_fewer_samples_stands_for_its_card():
    record = enter([card(2.5, 2, samples=500), card(2.4, 0, samples=500)], {})
    ((*_, samples, shipped, others, mean, _, _),) = cells(seeds_table(record, {NAME: card(2.3, 0)}))
    assert (samples, shipped, others, mean) == ("500", "0: 2.400 ± 0.050", "2: 2.500 ± 0.050", "2.45")
    assert "seed=0" not in seeds_table(record, {NAME: card(2.3, 0)})


def test_numbers_of_other_sample_counts_do_not_compare():
    with pytest.raises(ValueError, match=r"rbm.mnist: expected as many samples .*\[500, 1000\]"):
        seeds_table(enter([card(2.5, 2, samples=500)], {}), {NAME: card(2.3, 0)})


def test_a_card_without_its_headline_number_is_refused():
    empty = card(2.5, 2)
    empty["metrics"].pop()
    with pytest.raises(ValueError, match=r"card of rbm.mnist: expected the row 'Frechet"):
        enter([empty], {})
    with pytest.raises(ValueError, match=r"card: expected one of classifier.*, found ddpm.mnist"):
        enter([card(1.0, 0, name="ddpm.mnist")], {})
