"""The exported circuit is the machine: its noiseless path, its program, its read-out; and what is refused."""

import re
import sys
from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch import cli
from thermotorch.circuit import Scale, Segment, analog_machine, circuit_energies, from_potential, netlist, run_netlist
from thermotorch.circuit.fitting import noise_step, reach_of
from thermotorch.circuit.netlist import READ
from thermotorch.models.imperfections import realise

START = torch.tensor([0.2, 0.4, -0.6]).double()


def test_noiseless_path_is_that_of_simulate(ngspice, three_units):
    scale = Scale(1.0)
    machine = from_potential(three_units, 4.0, 1e-3, 0.0, start=START)
    run = run_netlist(netlist(machine, scale, step=0.002, reltol=1e-7))
    exact = tt.simulate(three_units, START[None], steps=4000, dt=1e-3, temperature=0.0, integrator="heun", record=1)
    at = (run.waveforms["time"] / scale.second)[run.waveforms["time"] > 0.01 * scale.second]
    before = (at / 1e-3).long().clamp(1, 3999) - 1  # recorded states are those of steps 1, 2, ...
    between = torch.lerp(exact.states[before, 0], exact.states[before + 1, 0], (at / 1e-3 - before - 1)[:, None])
    assert len(at) > 500
    assert (run.states(3, scale.volt)[-len(at) :] - between).abs().max() < 1e-5
    assert (run.read - exact.state[0]).abs().max() < 1e-5


def test_held_units_drive_and_keep_their_place(ngspice, three_units):
    held = torch.tensor([False, True, False])
    force = torch.tensor([0.5, 0.0, -0.2]).double()
    mobility = torch.tensor([1.0, 1.0, 2.5]).double()
    machine = from_potential(
        three_units, 3.0, 1e-3, 0.0, start=START, held=held, drive=force, mobility=mobility, read=[2, 0]
    )
    run = run_netlist(netlist(machine, step=0.002, reltol=1e-7))
    exact = tt.simulate(
        three_units, START[None], steps=3000, dt=1e-3, temperature=0.0, integrator="heun", clamp=held, drive=force,
        mobility=mobility,
    )  # fmt: skip
    assert (run.read - exact.state[0, [2, 0]]).abs().max() < 1e-5


def test_a_program_turns_the_gain_with_switches(ngspice, three_units):
    program = (Segment(1.0, 0.0, 0.0), Segment(0.5, 0.0, 1.5), Segment(0.5, 0.0, 1.0))
    machine = replace(from_potential(three_units, 2.0, 1e-3, 0.0, start=START), program=program)
    run = run_netlist(netlist(machine, step=0.002, reltol=1e-7))
    state = START[None]
    for time, _, gain in program:
        turned = tt.Potential(
            tt.DenseCouplings.from_matrix(gain * three_units.couplings.matrix()), three_units.j2, three_units.j3,
            three_units.j4, bias=gain * three_units.bias,
        )  # fmt: skip
        steps = round(time / 1e-3)
        state = tt.simulate(turned, state, steps=steps, dt=1e-3, temperature=0.0, integrator="heun").state.detach()
    assert (run.read - state[0]).abs().max() < 1e-5


def test_a_converter_rounds_and_clips(ngspice, three_units):
    machine = replace(from_potential(three_units, 4.0, 1e-3, 0.0, start=START), full_scale=(-0.5, 0.5))
    exact, coarse = (run_netlist(netlist(machine, step=0.01, bits=bits)).read for bits in (None, 3))
    expected = ((exact + 0.5) * 7).round().clamp(0, 7) / 7 - 0.5
    assert exact[1] > 0.6  # beyond the scale
    assert torch.allclose(coarse, expected, atol=1e-9)


def test_every_run_is_another_sample(ngspice, three_units):
    machine = from_potential(three_units, 1.0, 1e-3, 0.1)
    first, other = (run_netlist(netlist(machine)).read for _ in range(2))
    assert not torch.equal(first, other)


def _generator(**more) -> torch.nn.Module:
    return tt.create_model("generator", image_shape=[1, 2, 2], hidden=3, hidden_hidden=False, **more)


@pytest.mark.parametrize(
    ("model", "given", "units", "held", "read"),
    [
        (lambda: _generator(num_classes=2, readout_time=0.1), {"label": 1}, 9, 2, 4),
        (lambda: _generator(schedule={"gain": [0.5, 1.0], "temperature": [2.0, 1.0]}), {}, 7, 0, 4),
        (lambda: tt.create_model("generator", image_shape=[1, 2, 2], hidden=[3, 2]), {}, 9, 0, 4),
        (
            lambda: tt.create_model("classifier", image_shape=[1, 2, 2], num_classes=3, hidden=2),
            {"image": torch.rand(1, 2, 2)}, 9, 4, 3,
        ),
        (lambda: tt.ThermodynamicLayer(2, 3, hidden=2), {"inputs": torch.ones(2)}, 7, 2, 3),
        (lambda: tt.create_model("layered", layers=[3, 2, 1]), {"inputs": torch.ones(1)}, 6, 0, 1),
    ],
)  # fmt: skip
def test_machines_of_every_kind_run(ngspice, model, given, units, held, read):
    torch.manual_seed(0)
    machine = analog_machine(model(), **given)
    assert (machine.units, int(machine.held.sum()), len(machine.read)) == (units, held, read)
    found = run_netlist(netlist(machine)).read
    assert found.shape == (read,) and found.isfinite().all() and found.abs().max() > 0


def test_a_classifier_gives_the_outputs_of_simulate(ngspice):
    torch.manual_seed(0)
    model = tt.create_model("classifier", image_shape=[1, 3, 3], num_classes=3, hidden=2, temperature=0.0, dt=1e-4)
    image = torch.rand(1, 3, 3)
    found = run_netlist(netlist(analog_machine(model, image=image), step=1e-3, reltol=1e-6)).read
    exact = model.read(model.run(image[None], seed=0))[0]
    assert (found - exact.detach()).abs().max() < 3e-4  # Euler steps of 1e-4


def test_names_of_a_model_are_only_in_comments(three_units):
    couplings = tt.BlockCouplings({"a b\n.control\nshell rm x": 1, "X0": 1, "x0": 1}, [])
    machine = from_potential(tt.Potential(couplings), 1.0, 1e-2, 0.1)
    text = netlist(machine, name="gen/é\n.control")
    assert text.count(".control") - text.count("_.control") == 1
    assert [line for line in text.splitlines() if line.startswith(".control")] == [".control"]
    assert re.findall(r"^C\d+ (x\d+)", text, re.MULTILINE) == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    ("scale", "options", "message"),
    [
        ({"farad": 1e-20}, {}, r"supply: units reach [\d.]+ V on either side, and half the supply is 0.4 V"),
        ({}, {"step": 0.5}, r"step: noise in steps of 0.5 ends below the fastest rate, [\d.]+ per time unit"),
        ({"temperature": -0.1}, {}, "temperature must be finite and not negative"),
        *(
            ({name: value}, {}, f"{name} must be finite and positive")
            for name in ("farad", "second", "kelvin", "supply")
            for value in (-1.0, 0.0)
        ),
    ],
)
def test_units_that_do_not_fit_are_refused(three_units, scale, options, message):
    with pytest.raises(ValueError, match=message):
        netlist(from_potential(three_units, 1.0, 1e-2, 0.1), Scale(**{"temperature": 0.1, **scale}), **options)


def test_couplings_without_a_bound_are_refused():
    potential = tt.Potential(tt.DenseCouplings.from_matrix(torch.tensor([[0.0, 3.0], [3.0, 0.0]])), j4=0.0)
    with pytest.raises(ValueError, match="without a bound"):
        netlist(from_potential(potential, 1.0, 1e-2, 0.1))


class Tilted(tt.Potential):
    def energy(self, x):
        return super().energy(x) + x.cos().sum(-1)


def test_models_that_cannot_be_exported_are_refused():
    with pytest.raises(ValueError, match="Tilted has an energy of its own"):
        from_potential(Tilted(tt.DenseCouplings(2)), 1.0, 1e-2, 0.1)
    with pytest.raises(ValueError, match="a FeatureNet is no single network"):
        analog_machine(tt.create_model("feature_net"))
    with pytest.raises(ValueError, match="image: a classifier needs"):
        analog_machine(tt.create_model("classifier"))
    with pytest.raises(ValueError, match="no label units"):
        analog_machine(_generator(), label=1)


def test_without_ngspice_the_package_is_named(monkeypatch, three_units):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="ngspice is not installed.*apt-get install ngspice"):
        run_netlist(netlist(from_potential(three_units, 1.0, 1e-2, 0.1)))


def test_ngspice_refusing_a_netlist_is_said(ngspice):
    with pytest.raises(RuntimeError, match="ngspice did not finish"):
        run_netlist("* none\nQ1 a\n.control\nrun\nquit\n.endc\n.end\n")


def test_a_run_never_answers_with_the_files_of_an_earlier_one(ngspice, tmp_path, three_units):
    """In the same folder: a netlist that fails leaves no read-out, one that keeps no waveforms has none."""
    quiet = f"* stub\n.control\necho unit x > {READ}\nquit\n.endc\n.end\n"
    run = run_netlist(netlist(from_potential(three_units, 0.1, 1e-2, 0.0), step=0.01), tmp_path)
    assert len(run.read) == 3 and run.waveforms
    assert not run_netlist(quiet, tmp_path).waveforms
    with pytest.raises(RuntimeError, match="ngspice did not finish"):
        run_netlist("* none\nQ1 a\n.control\nrun\nquit\n.endc\n.end\n", tmp_path)


def test_the_command_writes_and_runs(ngspice, tmp_path, monkeypatch):
    from thermotorch.zoo import save_checkpoint

    fields = {"data": {}, "energy": [], "licence": "none", "metrics": [], "notes": "", "training": {}}
    path, _ = save_checkpoint(_generator(), "generator.small", tmp_path, fields)
    monkeypatch.chdir(tmp_path)
    words = ["thermotorch-export", f"model={path}", "format=spice", "run=true", "hydra.run.dir=out"]
    monkeypatch.setattr(sys, "argv", words)
    cli.export_main()
    assert {"machine.cir", "read.txt", "waveform.raw"} <= {file.name for file in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(sys, "argv", [*words, "format=verilog"])
    with pytest.raises(SystemExit, match="verilog"):
        cli.export_main()


def test_an_imperfect_device_is_the_same_in_both(ngspice, three_units):
    nominal = tt.simulate(three_units, START[None], steps=2000, dt=1e-3, temperature=0.0, integrator="heun").state
    device = realise(three_units, mismatch=0.1, seed=3, device_id=2)
    machine = from_potential(device, 2.0, 1e-3, 0.0, start=START)
    exact = tt.simulate(device, START[None], steps=2000, dt=1e-3, temperature=0.0, integrator="heun").state
    assert (run_netlist(netlist(machine, step=0.002, reltol=1e-7)).read - exact[0]).abs().max() < 1e-5
    assert (exact - nominal).abs().max() > 5e-3  # another device


OTHER_SCALE = {"farad": 7e-13, "second": 3e-6, "kelvin": 400.0, "supply": 1.1}  # than that of `rc_analog`
MOBILITY = torch.tensor([0.5, 1.0, 3.0]).double()


def test_another_scale_of_volts_and_seconds_changes_neither_path_nor_energies(ngspice, three_units):
    """In reduced units. In joule, the bias currents of the supply follow its voltage and the capacitors."""
    machine = from_potential(three_units, 2.0, 1e-3, 0.0, start=START, mobility=MOBILITY)
    machine = replace(machine, readout_time=0.5)
    usual, other = Scale(0.0), Scale(0.0, **OTHER_SCALE)
    one, another = (circuit_energies(machine, scale, step=0.002, reltol=1e-7) for scale in (usual, other))
    assert (one.run.read - another.run.read).abs().max() < 1e-6
    for name in ("wells", "bonds", "stored", "heat"):
        assert getattr(another, name) == pytest.approx(getattr(one, name), rel=1e-4), name
    assert another.kT == pytest.approx(1.380649e-23 * 400.0)
    paid = another.supply * another.kT / (one.supply * one.kT)
    assert paid == pytest.approx(other.supply * other.farad / (usual.supply * usual.farad), rel=1e-4)


@pytest.mark.parametrize("changed", [{}, OTHER_SCALE])
@pytest.mark.parametrize("last", [0.2, 0.05])
def test_a_noise_current_is_that_of_the_conductance_of_its_unit(three_units, changed, last):
    """A step of white noise has the root mean square sqrt(2 mobility kT / step), times G0 and the volts of x = 1."""
    machine, scale = from_potential(three_units, 2.0, 1e-3, 0.2, mobility=MOBILITY), Scale(0.2, **changed)
    machine = replace(machine, program=(Segment(1.0, 0.2), Segment(1.0, last)))
    text = netlist(machine, scale, step=0.01)
    expected = (2 * MOBILITY * 0.2 / 0.01).sqrt()
    if last == 0.2:
        sources = re.findall(r"^In\d 0 x\d dc 0 trnoise\((\S+) (\S+) 0 0\)", text, re.MULTILINE)
        rms, steps = zip(*sources, strict=True)
    else:  # one source of normals for each unit, times the root of kT at the time over the highest
        steps = re.findall(r"^Vn\d n\d 0 dc 0 trnoise\(1 (\S+) 0 0\)", text, re.MULTILINE)
        rms = re.findall(r"^Bn\d 0 x\d i=(\S+)\*v\(n\d\)\*v\(heat\)", text, re.MULTILINE)
        (points,) = re.findall(r"^Vheat heat 0 pwl\((.*)\)", text, re.MULTILINE)
        times, values = torch.tensor([float(point) for point in points.split()]).view(-1, 2).T
        torch.testing.assert_close(values, torch.tensor([1.0, 1.0, 0.5]))
        torch.testing.assert_close(times / scale.second, torch.tensor([0.0, 1.0, 1.0]), rtol=0, atol=1e-6)
    found = torch.tensor([float(value) for value in rms]).double() / (scale.siemens * scale.volt)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert [float(step) for step in steps] == pytest.approx([0.01 * scale.second] * 3)


def test_the_read_out_averages_over_the_end_of_the_run():
    machine = analog_machine(_generator(t_final=2.0, dt=0.1, readout_time=0.4))
    scale = Scale(machine.temperature)
    windows = re.findall(r"meas tran r avg v\(x\d+\) from=(\S+) to=(\S+)", netlist(machine, scale))
    assert len(windows) == len(machine.read)
    for first, last in windows:
        assert float(last) == pytest.approx(machine.time * scale.second)
        assert float(last) - float(first) == pytest.approx(0.4 * scale.second)


def test_noise_is_as_fine_as_the_fastest_unit_asks():
    """A tenth of its relaxation time, unless the machine's own step is finer."""
    machine = analog_machine(_generator(t_final=2.0, dt=0.1))
    scale, rate = Scale(machine.temperature), reach_of(machine).rate
    assert noise_step(replace(machine, dt=1e-6), scale, None) == 1e-6
    assert noise_step(replace(machine, dt=1.0), scale, None) == pytest.approx(0.1 / rate)


def test_noise_may_be_as_slow_as_the_fastest_unit_and_no_slower():
    """A step of the noise must resolve the rate at which units relax; by default it is that of the machine."""
    potential = tt.Potential(tt.DenseCouplings(2), 20.0, 0.0, 1.0).double().requires_grad_(False)
    machine = from_potential(potential, 1.0, 1e-3, 0.1)
    rate = reach_of(machine).rate
    assert rate > 2 * 20.0  # at least the curvature of the wells
    assert noise_step(machine, Scale(0.1), 0.99 / rate) == 0.99 / rate
    with pytest.raises(ValueError, match="step: noise in steps of"):
        noise_step(machine, Scale(0.1), 1.01 / rate)
    assert noise_step(machine, Scale(0.1), None) == 1e-3
    assert noise_step(from_potential(potential, 1.0, 0.5, 0.1), Scale(0.1), None) < 1 / rate


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("wells", [(1.5, 0.0, 0.2), (0.0, 0.3, 1.0), (-0.7, 0.0, 1.0)])
def test_the_reach_of_a_unit_is_where_its_forces_balance_and_eight_kT_above(wells, gain):
    """A unit of twice the capacitance feels half of kT and is half as fast; a held one has its place and no rate.

    A force F is balanced at F / 2 j2 and at (F / 4 j4)^(1/3), whichever is nearer; a double well adds to F what
    pushes a unit out of its middle, and j3 the worst of its slope."""
    (j2, j3, j4), kT, size, mobility, bias = wells, 0.2, 2.0, 3.0, 0.9
    potential = tt.Potential(tt.DenseCouplings(2), j2, j3, j4, bias=bias).double().requires_grad_(False)
    machine = from_potential(
        potential, 1.0, 1e-3, kT, start=torch.tensor([0.0, 0.25]), held=torch.tensor([False, True]), mobility=mobility
    )
    machine = replace(
        machine, program=(Segment(1.0, kT, gain), Segment(0.5, 0.0, 0.1)),
        capacitance=torch.tensor([size, 0.1], dtype=torch.float64),
    )  # fmt: skip

    def amplitude(climb: float) -> float:
        height = climb * kT / size
        thermal = min((height / j2) ** 0.5 if j2 > 0 else float("inf"), (height / j4) ** 0.25)
        x = 0.0
        for _ in range(2000):
            force = gain * bias + max(-2 * j2, 0.0) * x + 3 * j3 * x * x
            x = thermal + min(force / (2 * j2) if j2 > 0 else float("inf"), (force / (4 * j4)) ** (1 / 3))
        return x

    reach, usual = reach_of(machine), amplitude(1.0)
    assert reach.state == pytest.approx(amplitude(8.0), rel=1e-6)
    curvature = 2 * abs(j2) + 6 * j3 * usual + 12 * j4 * usual**2
    assert reach.rate == pytest.approx(mobility / size * curvature, rel=1e-6)


def test_couplings_pull_all_one_way_for_the_reach_and_at_random_for_the_rate():
    """Three units that pull at one of them; couplings to held units pull, but are no part of its own curvature."""
    matrix = torch.zeros(4, 4).double()
    matrix[0, 1:] = matrix[1:, 0] = torch.tensor([1.0, -2.0, 0.5]).double()
    potential = tt.Potential(tt.DenseCouplings.from_matrix(matrix), 0.0, 0.0, 1.0).requires_grad_(False)
    start, held = torch.tensor([0.0, 0.3, 0.3, 0.3]), torch.tensor([False, True, True, True])
    reach = reach_of(from_potential(potential, 1.0, 1e-3, 0.0, start=start, held=held))
    assert reach.state == pytest.approx((3.5 * 0.3 / 4) ** (1 / 3), rel=1e-6)
    usual = (5.25**0.5 * 0.3 / 4) ** (1 / 3)
    assert reach.rate == pytest.approx(12 * usual**2, rel=1e-6)
    free = reach_of(from_potential(potential, 1.0, 1e-3, 0.0, start=start))
    assert free.rate > 5.25**0.5  # the norm of the couplings between free units
