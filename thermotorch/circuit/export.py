"""A model of the zoo as a file for ngspice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from thermotorch.circuit.machine import analog_machine
from thermotorch.circuit.netlist import ENERGY, READ, WAVEFORM, netlist
from thermotorch.circuit.ngspice import NETLIST, find_ngspice, run_netlist
from thermotorch.circuit.scale import Scale
from thermotorch.files import write_file


def write_netlist(
    model: nn.Module,
    folder: Path,
    *,
    name: str = "machine",
    label: int | None = None,
    inputs: Sequence[float] | None = None,
    step: float | None = None,
    bits: int | None = None,
    metered: bool = False,
    scale: Mapping[str, float] | None = None,
    run: bool = False,
) -> list[Path]:
    """Write the netlist of a model into a folder, run it if asked to, and return the files.

    Args:
        model, label: as in `analog_machine`.
        folder: folder for the files.
        name: name of the model in the head of the netlist.
        inputs: pixels of a classifier, or the `inputs` of `analog_machine`.
        step, bits, metered: as in `netlist`.
        scale: arguments of `Scale` but for the temperature.
        run: True to run it in ngspice.

    Raises:
        ValueError: a model, or numbers, that cannot be exported.
        FileNotFoundError: ngspice is to run and is not installed; nothing is written.
    """
    if run:
        find_ngspice()
    given = None if inputs is None else torch.tensor(list(inputs), dtype=torch.float32)
    if given is not None and (shape := getattr(model, "image_shape", None)) is not None:
        machine = analog_machine(model, label=label, image=given.view(shape))
    else:
        machine = analog_machine(model, label=label, inputs=given)
    units = Scale(machine.temperature, **(scale or {}))
    text = netlist(machine, units, step=step, bits=bits, metered=metered, name=name)
    if not run:
        return [write_file(folder / NETLIST, text)]
    run_netlist(text, folder)
    return [folder / file for file in (NETLIST, READ, *([ENERGY] if metered else []), WAVEFORM)]
