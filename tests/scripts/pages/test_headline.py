import pytest

from scripts.pages.headline import headline, short_headline
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.zoo.rows import Row

SPACE = "thermotorch-test"


def row(metric: str, value: float, stderr: float | None = None) -> dict:
    return Row(metric, value, "", 1000, 7, "measured", stderr).to_dict()


def model(name: str, frechet: float, scenario: str, joules: tuple[float | None, ...], finished: bool = True) -> dict:
    lines = [
        LedgerLine(f"part {k}", joule, joule, joule, "unavailable" if joule is None else "modelled", "a source")
        for k, joule in enumerate(joules)
    ]
    rows = {f"Frechet distance ({SPACE})": frechet, "recognised fraction": 0.5, "time": 0.25}
    return {
        "name": name,
        "finished": finished,
        "rows": [row(metric, value) for metric, value in rows.items()],
        "ledgers": [Ledger(name, scenario, tuple(lines)).to_dict()],
    }


def report(models: dict) -> dict:
    return {
        "feature_space": {"name": SPACE},
        "protocol": {"num_samples": 1000, "seed": 7},
        "models": models,
        "real_images": {"rows": [row(f"Frechet distance ({SPACE})", 0.125, 0.01)]},
        "command": "thermotorch-compare seed=7",
        "hardware": "a processor",
    }


def test_the_best_distance_is_first_below_real_images_and_energies_are_sums_in_the_column_of_their_scenario():
    machine = model("generator.a", 3.0, "rc_analog", (1e-8, 2e-8))
    digital = model("ddpm.b", 2.0, "45 nm fp32", (0.25, 0.5))
    unreached = model("rbm.c", 1.0, "45 nm fp32", (1.0,), finished=False)
    text = headline(report({"generator.a": machine, "ddpm.b, ddim 50": digital, "rbm.c": unreached}))
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n\n")[0].splitlines()
    ]
    assert [line[0] for line in lines] == ["as many real images", "`ddpm.b`, ddim 50", "`generator.a`"]
    assert header[1] == f"Fréchet distance ({SPACE})"
    assert [line[1] for line in lines] == ["0.125 ± 0.010", "2", "3"]
    assert header[-2:] == ["J, modelled: ideal or 45 nm fp32", "J, modelled: rc_analog or A100 fp32"]
    assert [line[-2:] for line in lines[1:]] == [["7.5e-01", ""], ["", "3.0e-08"]]
    assert "1,000 samples, seed 7" in header[0] and "thermotorch-compare seed=7" in text and "a processor" in text


def test_the_short_table_has_three_columns_and_the_range_of_the_scenarios():
    machine = model("generator.a", 3.0, "rc_analog", (1e-8, 2e-8))
    machine["ledgers"] += model("generator.a", 3.0, "ideal", (4e-16,))["ledgers"]
    machine["ledgers"] += model("generator.a", 3.0, "spu_board", (1.0,))["ledgers"]
    text = short_headline(report({"generator.a": machine, "ddpm.b": model("ddpm.b", 2.0, "45 nm fp32", (0.25,))}))
    _, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n\n")[0].splitlines()
    ]
    assert lines == [["`ddpm.b`", "2", "0.5", "2e-01 J"], ["`generator.a`", "3", "0.5", "4e-16 to 3e-08 J"]]
    assert "1,000 samples from each model, seed 7" in text


def test_a_total_that_leaves_something_out_says_so():
    half = model("generator.c", 1.0, "ideal", (1e-15, None))
    assert " at least 1e-15 J |" in short_headline(report({"generator.c": half}))


def test_a_report_without_results_has_no_headline():
    with pytest.raises(ValueError, match="expected at least one finished model"):
        headline(report({"rbm.c": model("rbm.c", 1.0, "ideal", (1.0,), finished=False)}))
