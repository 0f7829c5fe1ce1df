"""Comparisons made by hand: every kind of content, no model run."""

from itertools import islice

import torch

from tests.evaluation.stand_ins import feature_space
from thermotorch.evaluation import Comparison, CurvePoint, ModelResult, Protocol, Row
from thermotorch.evaluation.energy.contribution import Line
from thermotorch.evaluation.energy.digital_hardware import ARITHMETIC_LINE
from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.results import NETWORK_EVALUATIONS, OBSERVATION_TIME

PROTOCOL = Protocol(name="test", num_samples=40, seed=3, kernel_subset_size=20)
FRECHET = "Frechet distance (thermotorch-test-v1)"
BOUND = LedgerLine(LANDAUER, 2.25e-18, None, None, "modelled", "Landauer 1961")


def row(metric: str, value: float | None, unit: str = "", **more) -> Row:
    kind = "unavailable" if value is None else "measured"
    return Row(metric, value, unit, **{"num_samples": 40, "seed": 3, "kind": kind, **more})


def line(contribution: str, joule: float | None, low=None, high=None, kind="modelled", **more) -> LedgerLine:
    kind = "unavailable" if joule is None else kind
    return LedgerLine(contribution, joule, low, high, kind, "a source", **more)


def result(k: int, label: str = "") -> ModelResult:
    """Number k: even ones are devices; odd ones are one digital model, sampled in several ways."""
    device = k % 2 == 0
    name = f"machine.number_{k}" if device else "digital.mnist"
    label = label or (name if device else f"digital.mnist, ddim {10 * k}")
    generator = torch.Generator().manual_seed(k)
    frechet, recognised = 2.5 + 0.37 * k, 0.9125 - 0.0311 * k
    if device:
        curve = tuple(CurvePoint(OBSERVATION_TIME, x, frechet + 3 / x, 0.21, recognised / 2) for x in (0.5, 1.0, 4.0))
        ledgers = (
            Ledger(
                label, "ideal", (line(Line.TRAJECTORY, 1.3e-16 * (k + 1), 1.2e-16, 9e-15), line("read-out", 0.0), BOUND)
            ),
            Ledger(
                label,
                "dtca",
                (line(Line.TRAJECTORY, 3.4e-8 * (k + 1), 1e-9, 1e-6), line("static bias current", None), BOUND),
            ),
        )
    else:
        curve = (CurvePoint(NETWORK_EVALUATIONS, 10 * k, frechet, 0.21, recognised),)
        ledgers = (
            Ledger(label, "45 nm fp32",
                   (line(ARITHMETIC_LINE, 0.0175 * k), line("DRAM traffic", 0.011, 0.002, 0.02), BOUND)),
            Ledger(label, "A100 fp32", (line(ARITHMETIC_LINE, 0.156 * k, 0.07, 40.0), BOUND)),
        )  # fmt: skip
    drawn = None if k > 1 else 2.75 - k
    ledgers += (Ledger(label, "this machine", (line("CPU package", drawn, kind="measured", note="no counter"),)),)
    rows = [
        row(FRECHET, frechet, stderr=0.0521, low=frechet - 0.13, high=frechet + 0.17, note="against 200 real images"),
        row("recognised fraction", recognised, stderr=0.0123),
        row("nearest training image, mean", None, note="the training images were not at hand"),
        row("time", 0.0137 * (k + 1), "s per sample"),
        row("parameters", 407_834 + k, num_samples=0),
    ]  # fmt: skip
    images = torch.rand(16, 1, 6, 6, generator=generator)
    strip = torch.rand(5 + k % 3, 4, 1, 6, 6, generator=generator)
    return ModelResult(name, device, "" if device else f"sampler ddim, steps {10 * k}", rows, images, [9, 11, 13, 7],
                       label=label, ledgers=ledgers, strip=strip, curve=curve)  # fmt: skip


def comparison(models: int, reached: int | None = None) -> Comparison:
    """A comparison of so many models, of which the first few were reached."""
    results = {found.label: found for found in map(result, range(models))}
    return Comparison(
        entries={label: found.name for label, found in results.items()},
        protocol=PROTOCOL,
        space=feature_space(),
        hardware="an abacus, 10 beads",
        command="thermotorch-compare a=machine b=digital",
        real=[row(FRECHET, 1.0625, stderr=0.0375)],
        results=dict(islice(results.items(), reached)),
    )
