"""Runs of a simulator that is a script of two lines, its files, and the export of a model; ngspice is not needed."""

from pathlib import Path

import numpy as np
import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import Scale, analog_machine, circuit_energies, from_potential, netlist, run_netlist
from thermotorch.circuit.cell_netlist import cell_energies
from thermotorch.circuit.elements import METERS
from thermotorch.circuit.export import write_netlist
from thermotorch.circuit.ngspice import CircuitRun, find_ngspice, raw_file


def raw(waves: dict[str, list[float]]) -> bytes:
    names = "".join(f"\t{number}\t{name}\tvoltage\n" for number, name in enumerate(waves))
    return f"Title: x\nFlags: real\nVariables:\n{names}Binary:\n".encode() + np.array([*waves.values()]).T.tobytes()


def simulator(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "bin" / "ngspice"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def test_waveforms_are_read_by_name(tmp_path):
    path = tmp_path / "waveform.raw"
    path.write_bytes(raw({"time": [0.0, 1.0, 2.0], "v(x0)": [3.0, 4.0, 5.0], "v(x1)": [6.0, 7.0, 8.0]}))
    found = raw_file(path)
    assert {name: wave.tolist() for name, wave in found.items()} == {
        "time": [0.0, 1.0, 2.0], "v(x0)": [3.0, 4.0, 5.0], "v(x1)": [6.0, 7.0, 8.0],
    }  # fmt: skip
    states = CircuitRun(torch.zeros(2), found).states(2, 0.5)
    assert states.tolist() == [[6.0, 12.0], [8.0, 14.0], [10.0, 16.0]]


def test_a_run_is_a_batch_in_its_folder_whose_read_out_is_returned(tmp_path, monkeypatch):
    simulator(tmp_path, monkeypatch, 'printf "%s\\n" "$*" > words; printf "unit x\\n0 0.25\\n1 -1.5\\n" > read.txt')
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "waveform.raw").write_bytes(raw({"time": [0.0]}))  # of an earlier run
    run = run_netlist("the netlist", folder)
    assert run.read.tolist() == [0.25, -1.5] and run.read.dtype == torch.float64 and not run.waveforms
    assert (folder / "words").read_text() == "-n -b machine.cir\n"
    assert (folder / "machine.cir").read_text() == "the netlist"
    assert run_netlist("in a folder of its own").read.tolist() == [0.25, -1.5]
    assert Path(find_ngspice()) == tmp_path / "bin" / "ngspice"


@pytest.mark.parametrize(
    "script",
    [
        "echo no such device >&2",
        "echo unit x > read.txt; echo simulation aborted no such device",
        "echo unit x > read.txt; echo 'Timestep too small: no such device' >&2",
    ],
)
def test_a_run_that_ends_early_says_what_the_simulator_said(tmp_path, monkeypatch, script):
    simulator(tmp_path, monkeypatch, script)
    (tmp_path / "read.txt").write_text("unit x\n0 1.0\n")  # of an earlier run
    with pytest.raises(RuntimeError, match="ngspice did not finish the run: .*no such device"):
        run_netlist("", tmp_path)


def test_energies_are_the_last_values_of_the_meters(tmp_path, monkeypatch):
    waves = {f"v(m_{meter})": [0.0, 1.5 + number] for number, meter in enumerate(METERS)}
    (tmp_path / "waves").write_bytes(raw({"time": [0.0, 1.0], **waves}))
    simulator(
        tmp_path, monkeypatch, f"cp {tmp_path}/waves waveform.raw; cp machine.cir {tmp_path}; echo unit x > read.txt"
    )
    potential = tt.Potential(tt.DenseCouplings(2), 0.5)
    machine = from_potential(potential, 1.0, 0.01, 0.3)
    found = circuit_energies(machine, step=0.02)
    assert [getattr(found, meter) for meter in METERS] == [1.5 + number for number in range(len(METERS))]
    assert found.residual == found.noise - found.wells - found.bonds - found.stored == 1.5 - 2.5 - 3.5 - 4.5
    assert found.kT == pytest.approx(1.380649e-23 * 300, rel=1e-9, abs=0)
    text = (tmp_path / "machine.cir").read_text()
    assert text == netlist(machine, Scale(0.3), step=0.02, metered=True, reltol=1e-6)
    other = Scale(0.3, kelvin=500.0, farad=3e-13)
    assert circuit_energies(machine, other).kT == pytest.approx(1.380649e-23 * 500, rel=1e-9, abs=0)
    assert f"C0 c0 0 {3e-13:.12g}" in (tmp_path / "machine.cir").read_text()
    cells = cell_energies(from_potential(potential, 1.0, 0.01, 0.03))  # a volt of a meter is a picojoule
    assert cells[:4] == pytest.approx((2.5e-12, 3.5e-12, 1.5e-12, 4.5e-12), rel=1e-9, abs=0)


def test_the_export_writes_the_netlist_of_its_settings(tmp_path):
    model = tt.create_model("generator", image_shape=[1, 2, 2], hidden=3, num_classes=3)
    settings = {"step": 2e-4, "bits": 3, "metered": True, "name": "of mine"}
    (path,) = write_netlist(model, tmp_path, label=2, scale={"farad": 3e-13}, **settings)
    assert path == tmp_path / "machine.cir"
    scale = Scale(model.temperature, farad=3e-13)
    assert path.read_text() == netlist(analog_machine(model, label=2), scale, **settings)
    classifier = tt.create_model("classifier", image_shape=[1, 2, 2], num_classes=3, hidden=2)
    (path,) = write_netlist(classifier, tmp_path, inputs=[0.1, 0.4, 0.2, 0.8])
    image = torch.tensor([[[0.1, 0.4], [0.2, 0.8]]])
    assert path.read_text() == netlist(analog_machine(classifier, image=image))
    layer = tt.ThermodynamicLayer(2, 3, hidden=2)
    (path,) = write_netlist(layer, tmp_path, inputs=[0.1, 0.4])
    assert path.read_text() == netlist(analog_machine(layer, inputs=torch.tensor([0.1, 0.4])))


def test_a_simulator_that_is_not_there_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="ngspice is not installed"):
        write_netlist(tt.ThermodynamicLayer(2, 3), tmp_path, inputs=[0.1, 0.4], run=True)
    assert not list(tmp_path.iterdir())


def test_the_files_of_a_run_are_named(tmp_path, monkeypatch):
    simulator(tmp_path, monkeypatch, "echo unit x > read.txt")
    layer = tt.ThermodynamicLayer(2, 3, hidden=2)
    for metered, names in ((False, ["machine.cir", "read.txt", "waveform.raw"]),
                           (True, ["machine.cir", "read.txt", "energy.txt", "waveform.raw"])):  # fmt: skip
        found = write_netlist(layer, tmp_path, inputs=[0.1, 0.4], metered=metered, run=True)
        assert found == [tmp_path / name for name in names]
