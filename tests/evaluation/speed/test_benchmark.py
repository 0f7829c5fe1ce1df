from dataclasses import replace
from functools import partial
from inspect import signature

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import thermotorch as tt
from thermotorch.cli import CONFIG_DIR
from thermotorch.evaluation.speed import benchmark as speed
from thermotorch.evaluation.speed import rivals
from thermotorch.evaluation.speed.benchmark import (
    Program,
    _layers,
    _simulations,
    _timed_rows,
    _training,
    as_markdown,
    benchmark,
    save_figure,
)
from thermotorch.evaluation.speed.rivals import Equation
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.objectives import reverse_action

SMALL = {"image_shape": [1, 4, 4], "hidden": 8, "t_final": 0.025}


@pytest.fixture(scope="module")
def result() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "_compiled_step", lambda: rivals._plain_step)  # tested in test_rivals; compiling is slow
        return benchmark(batch_sizes=[1, 4], steps=20, repeats=3, model=SMALL)


def test_every_row_is_the_median_of_the_runs_it_lists(result):
    for row in result["rows"]:
        assert len(row["seconds"]) == 3
        assert row["median_seconds"] == sorted(row["seconds"])[1]
    for what in {row["what"] for row in result["rows"]}:
        first, *others = [row for row in result["rows"] if row["what"] == what]
        assert first["program"].startswith("eager torch")
        assert first["times_as_fast"] == 1.0
        for row in others:
            assert row["times_as_fast"] == pytest.approx(first["median_seconds"] / row["median_seconds"])


def test_every_case_has_ours_beside_eager_torch(result):
    assert [what.split()[0] for what in dict.fromkeys(row["what"] for row in result["rows"])] == [
        "24", "24", "layer", "training"]  # fmt: skip
    for what in {row["what"] for row in result["rows"]}:
        assert "thermotorch" in {row["program"] for row in result["rows"] if row["what"] == what}


def test_operations_are_counted_as_the_programs_do_them(result):
    """Eager torch multiplies with the whole matrix, ours with its blocks; a splitting step with the whole again."""
    batch_4 = [row for row in result["rows"] if row["what"].endswith("batch 4")]
    counted = {row["program"]: row["flops_per_second"] * row["median_seconds"] for row in batch_4}
    assert counted["eager torch loop"] == pytest.approx(2 * 24 * 24 * 4 * 20)
    assert counted["thermotorch"] == pytest.approx(2 * (2 * 16 * 8 + 8 * 8) * 4 * 20)
    assert counted["thermotorch, whole matrix"] == pytest.approx(counted["eager torch loop"])
    assert counted["eager torch loop, blocks"] == pytest.approx(counted["thermotorch"])
    assert counted["thermotorch, splitting, 20 x dt"] == pytest.approx(2 * 24 * 24 * 4 * 2)


def test_rivals_with_and_without_blocks_run_the_same_machine():
    couplings = tt.BlockCouplings({"a": 5, "b": 3}, [("a", "b"), ("b", "b")])
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds)
    whole = Equation(couplings.matrix().detach(), torch.randn(8), 1.0, 0.5, 3, 0.01, 0.1)
    x = torch.randn(4, 8)
    torch.testing.assert_close(replace(whole, field=couplings.bind()).gradient(x), whole.gradient(x))


def test_the_table_and_the_figure_hold_every_row(result, tmp_path):
    text = as_markdown(result)
    assert result["hardware"] in text
    assert all(row["program"] in text for row in result["rows"])
    assert save_figure(result, tmp_path / "benchmark.png").stat().st_size > 1000


class Clock:
    """A clock that programs set forward."""

    def __init__(self) -> None:
        self.now, self.order = 100.0, []

    def __call__(self) -> float:
        return self.now

    def program(self, name: str, *seconds: float, flops: float = 0.0, normals: float = 0.0) -> Program:
        left = iter(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += next(left)

        return Program(name, run, flops, normals)


def test_programs_alternate_and_are_compared_with_the_first_by_medians_without_the_first_run():
    clock = Clock()
    programs = [
        clock.program("first", 90.0, 4.0, 2.0, 6.0, flops=8e9, normals=2e6),
        clock.program("second", 50.0, 1.0, 2.0, 1.0),
    ]
    first, second = _timed_rows("simulate", "a case", programs, 3, "cpu", clock)
    assert clock.order == ["first", "second"] * 4
    assert first == {
        "case": "simulate", "what": "a case", "program": "first", "first_seconds": 90.0, "seconds": [4.0, 2.0, 6.0],
        "median_seconds": 4.0, "spread": 1.0, "times_as_fast": 1.0, "flops_per_second": 2e9, "normals_per_second": 5e5,
    }  # fmt: skip
    assert (second["first_seconds"], second["median_seconds"], second["spread"]) == (50.0, 1.0, 1.0)
    assert (second["times_as_fast"], second["flops_per_second"], second["normals_per_second"]) == (4.0, 0.0, 0.0)


def test_the_head_of_a_result_says_what_was_asked_for(result):
    assert {key: result[key] for key in ("processor_time", "units", "steps", "repeats", "seed")} == {
        "processor_time": False, "units": 24, "steps": 20, "repeats": 3, "seed": 0,
    }  # fmt: skip
    assert result["threads"] == torch.get_num_threads() and result["peak_flops"] > 1e8
    cases = dict.fromkeys((row["case"], row["what"]) for row in result["rows"])
    assert list(cases) == [
        ("simulate", "24 units, 20 steps, batch 1"), ("simulate", "24 units, 20 steps, batch 4"),
        ("layer", "layer of 74 units, 200 steps, batch 256, forward and backward"),
        ("training", "training of 24 units, 3 paths of 25 steps, preparation and gradient"),
    ]  # fmt: skip


def made() -> dict:
    """Two cases: in the first a bound without random numbers, in the second nothing counted."""
    row = {"first_seconds": 0.5, "spread": 0.25, "normals_per_second": 0.0}
    rows = [
        {**row, "what": "a", "program": "eager", "median_seconds": 0.2, "times_as_fast": 1.0, "flops_per_second": 1e9,
         "normals_per_second": 2.5e6},
        {**row, "what": "a", "program": "thermotorch", "median_seconds": 0.002, "times_as_fast": 100.0,
         "flops_per_second": 4e10},
        {**row, "what": "b", "program": "slow", "median_seconds": 2.0, "times_as_fast": 0.02, "flops_per_second": 0.0},
    ]  # fmt: skip
    return {"hardware": "an abacus", "threads": 3, "processor_time": True, "peak_flops": 8e10, "repeats": 7, "seed": 5,
            "rows": rows}  # fmt: skip


def test_every_number_of_the_table_is_in_the_column_of_its_unit():
    text = as_markdown(made())
    assert text.splitlines()[0] == (
        "an abacus, 3 threads; float32 unless said otherwise, seed 5; median of 7 alternating runs in processor time; "
        "peak of float32 multiply-adds measured here: 80 GFLOP/s"
    )
    tables = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    header = ["program", "ms", "spread", "times as fast", "GFLOP/s", "of peak", "normals/s", "first run, ms"]
    assert tables[0] == tables[4] == header and text.index("**a**") < text.index("**b**")
    assert tables[2:4] == [
        ["eager", "200", "25%", "1.00", "1", "1%", "2.5e+06", "500"],
        ["thermotorch", "2", "25%", "100.00", "40", "50%", "-", "500"],
    ]
    assert tables[6] == ["slow", "2000", "25%", "0.02", "-", "-", "-", "500"]
    without = as_markdown({**made(), "peak_flops": None, "processor_time": False})
    assert without.splitlines()[0].endswith("median of 7 alternating runs") and "50%" not in without


def test_bars_are_as_long_as_the_orders_of_magnitude_above_a_tenth_and_ours_are_coloured(tmp_path):
    image = np.asarray(Image.open(save_figure(made(), tmp_path / "speed.png")))[:, 300:]
    ours, others = (0x1F, 0x6F, 0x8B), (0xB0, 0xB0, 0xB0)
    columns = {ours: [], others: []}
    for colour, found in columns.items():
        for y, line in enumerate((image == colour).all(2)):
            if line.any():
                found.append((y, 300 + int(line.argmax()), 300 + int(line.nonzero()[0][-1])))
    (bar,) = {(left, right) for _, left, right in columns[ours]}
    assert bar == (300, 300 + 3 * 130)  # a hundred times: three factors of ten above a tenth
    assert {(left, right) for _, left, right in columns[others]} == {(300, 430), (300, 301)}
    assert max(y for y, *_ in columns[ours]) < max(y for y, *_ in columns[others]), "one below the other"
    heights = [len(columns[ours]), len(columns[others])]
    assert heights[1] == 2 * heights[0]


def test_each_program_of_ours_runs_the_machine_as_its_name_says():
    torch.manual_seed(1)
    generator = ThermodynamicGenerator(**SMALL, dt=2.5e-3, temperature=0.2)
    for bonds in generator.potential.couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.2)
    torch.nn.init.normal_(generator.potential.bias, std=0.2)
    ((_, programs),) = _simulations(generator, [3], 40, 7)
    found = {program.name: program for program in programs if program.name.startswith("thermotorch")}
    run = partial(tt.simulate, generator.potential, torch.zeros(3, 24), temperature=0.2, seed=7)
    fine, coarse = partial(run, steps=40, dt=2.5e-3), partial(run, steps=2, dt=50e-3, integrator="splitting")
    expected = {
        "thermotorch": fine(), "thermotorch, reference backend": fine(backend="reference"),
        "thermotorch, whole matrix": fine(), "thermotorch, tf32": fine(precision="tf32"),
        "thermotorch, bf16": fine(precision="bf16"), "thermotorch, splitting, 20 x dt": coarse(),
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for name, program in found.items():
        torch.testing.assert_close(program.run().state, expected[name].state, rtol=1e-4, atol=1e-5)
    states = [found[name].run().state for name in ("thermotorch", "thermotorch, bf16")]
    assert not torch.equal(*states)
    normals = 40 * 3 * 24.0
    assert {name: program.normals for name, program in found.items()} == {
        name: normals / 20 if "splitting" in name else normals for name in found
    }


@pytest.mark.parametrize("number", [0, 2])
def test_layers_of_both_kinds_have_the_gradients_of_one_function(number, monkeypatch):
    """Without noise, where the paths are the same; a torch loop and ours."""
    layers = []

    def cold(*arguments, **options):
        layers.append(tt.ThermodynamicLayer(*arguments, **options, temperature=0.0))
        return layers[-1]

    monkeypatch.setattr(speed, "ThermodynamicLayer", cold)
    torch.manual_seed(0)
    ((_, programs),) = _layers("cpu", 3, batch=4)
    layer = layers[0]
    names = [program.name for program in programs]
    assert names[:3] == ["eager torch autograd", "torch.compile, step by step", "thermotorch"]
    units, work = layer.potential.num_units, 3 * 2 * layer.potential.num_units**2 * 4 * layer.steps
    assert all(program.flops == work for program in programs)
    assert programs[number].normals == units * 4 * layer.steps
    programs[2].run()
    expected = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    programs[number].run()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in expected.values())


def test_settings_have_the_values_that_the_page_of_speed_states():
    found = {name: value.default for name, value in signature(benchmark).parameters.items()}
    cfg = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "zoo" / "benchmark.yaml"))
    for name in ("cases", "batch_sizes", "steps", "repeats", "seed", "processor_time"):
        value = list(found[name]) if isinstance(found[name], tuple) else found[name]
        assert value == cfg[name], name


def test_the_published_rule_in_a_loop_has_the_gradient_of_our_action_on_its_path():
    """Of the last path: prepared under the full push of its image, and then as the push goes down."""
    torch.manual_seed(0)
    generator = ThermodynamicGenerator(**SMALL)
    for bonds in generator.potential.couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.2)
    noising, potential = generator.noising(), generator.potential
    torch.manual_seed(5)
    ((_, programs),) = _training(generator, 3, paths=2)
    torch.manual_seed(5)
    pixels = torch.randn(2, 16)
    assert [program.name for program in programs] == [
        "eager torch, path by path", "thermotorch", "thermotorch, splitting, 25 x dt",
    ]  # fmt: skip
    torch.manual_seed(6)
    programs[0].run()
    found = {name: parameter.grad.clone() for name, parameter in potential.named_parameters()}
    torch.manual_seed(6)
    dt, kT, paths = generator.dt, generator.temperature, []
    for push in noising.force(pixels).split(1):
        x, path = torch.zeros(1, 24), []
        for step in range(-noising.steps, noising.steps):
            if step >= 0:
                path.append(x)
            drift = (1.0 if step < 0 else noising.schedule(step)) * push - 2 * x - 4 * x**3
            x = x + dt * drift + (2 * kT * dt) ** 0.5 * torch.randn(1, 24)
        paths.append(torch.stack([*path, x]))
    potential.zero_grad()
    (reverse_action(potential, paths[-1], dt=dt, temperature=kT).sum(0).mean() / noising.steps).backward()
    for name, parameter in potential.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-4)
    start, decay = noising.run(pixels, seed=3, record=1)
    ours = reverse_action(potential, torch.cat([start[None], decay.states]), dt=dt, temperature=kT)
    potential.zero_grad()
    (ours.sum(0).mean() / noising.steps).backward()
    expected = {name: parameter.grad.clone() for name, parameter in potential.named_parameters()}
    programs[1].run()
    for name, parameter in potential.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])
