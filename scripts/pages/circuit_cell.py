"""Measure the cell of devices in ngspice, draw docs/figures/circuit_cell.png, and print what docs/circuit.md says.

python -m scripts.pages.circuit_cell        # half a minute
"""

from pathlib import Path

import torch

from scripts.pages.circuit_digits import NAME, SAMPLES, judge, obeyed
from thermotorch.circuit.cell import CELL_SCALE, DOUBLE_WELL, SINGLE_WELL, CellCurve, measure, well
from thermotorch.circuit.measured import MeasuredWells
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo import load_checkpoint

FIGURE = Path(__file__).parents[2] / "docs/figures/circuit_cell.png"
REACH, DT = 1.5, 0.0125
WELLS = {"single": (SINGLE_WELL, 0.5), "double": (DOUBLE_WELL, -0.5)}


def with_wells(machine: ThermodynamicGenerator, force: torch.Tensor) -> ThermodynamicGenerator:
    """Return the machine with measured wells, single (visible) and double (hidden), by Heun's scheme."""
    other = ThermodynamicGenerator(**{**machine.config, "integrator": "heun", "dt": DT})
    kind = [
        int(unit in range(machine.hidden.start, machine.hidden.stop)) for unit in range(machine.potential.num_units)
    ]
    other.potential = MeasuredWells(
        machine.potential.couplings, force, REACH, kind, bias=machine.potential.bias.detach()
    )
    return other


def sampled(machine: ThermodynamicGenerator, force: torch.Tensor | None, seed: int) -> torch.Tensor:
    """Return images of the machine by Heun's scheme, with the measured wells if there are any."""
    if force is not None:
        return with_wells(machine, force).generate(SAMPLES, seed=seed)
    other = ThermodynamicGenerator(**{**machine.config, "integrator": "heun", "dt": DT})
    other.potential = machine.potential
    return other.generate(SAMPLES, seed=seed)


def draw(curves: dict[str, CellCurve]) -> None:
    """Write the figure: forces, and how far they are from the quartic well."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3))
    for (name, curve), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
        j2 = WELLS[name][1]
        ideal = 2 * j2 * curve.state + 4 * curve.state**3
        left.plot(curve.state, curve.force, color=colour, label=f"{name} well, devices")
        left.plot(curve.state, ideal, "k:", linewidth=1, label="quartic" if name == "single" else None)
        right.plot(curve.state, curve.force - ideal, color=colour)
    left.set(xlabel="x", ylabel="dV/dx", ylim=(-8, 8))
    right.set(xlabel="x", ylabel="devices less quartic")
    left.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    curves = {name: measure(list(well(cell, 0)), reach=REACH) for name, (cell, _) in WELLS.items()}
    print(f"x = 1 is {CELL_SCALE.volt * 1e3:.1f} mV")
    for name, curve in curves.items():
        j2 = WELLS[name][1]
        away = (curve.force - 2 * j2 * curve.state - 4 * curve.state**3).abs()
        found = [
            f"{away[curve.state.abs() <= reach + 1e-9].max():.3f} within {reach}"
            for reach in (0.5, 0.75, 1.0, 1.2, 1.5)
        ]
        print(f"{name}: {', '.join(found)}; supply {curve.supply[len(curve.supply) // 2] * 1e6:.1f} uA")
    draw(curves)
    force = torch.stack([curve.force for curve in curves.values()])
    classifier, machine = judge(), load_checkpoint(NAME)
    assert isinstance(machine, ThermodynamicGenerator)
    x = torch.linspace(-REACH, REACH, force.shape[1]).double()
    straight = torch.stack([2 * j2 * x + 4 * x**3 for _, j2 in WELLS.values()])
    for title, wells in (("quartic", None), ("quartic, tabulated", straight), ("devices", force)):
        found = [obeyed(classifier, sampled(machine, wells, seed)) for seed in (0, 1)]
        print(f"{title}, Heun, step {DT}: {found[0]:.3f} (seed 0), {found[1]:.3f} (seed 1) of {SAMPLES}")


if __name__ == "__main__":
    main()
