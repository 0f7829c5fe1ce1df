"""Every public function with the values that users pass: numbers of numpy and torch, lists, and what is no value.

A spelling of the same value gives the same result; what is none is refused, in a sentence that names the argument.
"""

from dataclasses import asdict, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thermotorch as tt
from scripts.pages.neuron_figures import neuron_response
from tests.kinds import Kind, count, count_or_zero, counts, ids, labels, not_negative, positive, seed, signed
from thermotorch import linear_algebra
from thermotorch.dynamics.underdamped import simulate_underdamped
from thermotorch.evaluation.energy.card_rows import heat_rows
from thermotorch.evaluation.physics.fluctuation import bennett
from thermotorch.evaluation.quality.classification import ClassificationProtocol
from thermotorch.linear_algebra.board.mitigation import averaging
from thermotorch.linear_algebra.device import Device, Readout
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.classifier.neuron import NeuronActivation
from thermotorch.models.classifier.neuron_net import NeuronNet
from thermotorch.models.generator.noising import Noising
from thermotorch.models.imperfections import imperfect_parameters
from thermotorch.models.judge import FeatureNet
from thermotorch.objectives.genetic import first_generation, next_generation

READOUT = Readout(reads=40, blocks=2)
EYE = torch.eye(2, dtype=torch.float64)
ONES = torch.ones(2, dtype=torch.float64)


def potential() -> tt.Potential:
    return tt.Potential(tt.DenseCouplings(3))


def run(**arguments: Any) -> tt.Trajectory:
    return tt.simulate(
        potential(), torch.zeros(2, 3), **{"steps": 4, "dt": 0.25, "temperature": 0.5, "seed": 3, **arguments}
    )


def run_underdamped(**arguments: Any) -> tt.Trajectory:
    plain = {"steps": 4, "dt": 0.25, "temperature": 0.5, "seed": 3}
    return simulate_underdamped(potential(), torch.zeros(2, 3), **{**plain, **arguments})


def generator(**config: Any) -> nn.Module:
    return tt.create_model("generator", **{"hidden": 4, "image_shape": (1, 4, 4), "t_final": 0.5, "dt": 0.25, **config})


def chain(**config: Any) -> nn.Module:
    plain = {"image_shape": (1, 4, 4), "first": {"hidden": 4, "t_final": 0.5, "dt": 0.25}, "angles": [60.0],
             "hidden": 4,
             "t_stage": 0.5, "dt": 0.125, "readout_time": 0.125}  # fmt: skip
    return tt.create_model("chain", **{**plain, **config})


def ddpm(**config: Any) -> nn.Module:
    return DiffusionModel(
        **{"image_size": 8, "block_out_channels": [8], "num_train_timesteps": 20, "num_classes": 3, **config}
    )


def gaussians() -> nn.Module:
    model = tt.create_model("gaussians", image_shape=(1, 4, 4), components=3, num_classes=3)
    return model.fit(torch.rand(200, 1, 4, 4), torch.arange(200) % 3)


def rbm(**config: Any) -> nn.Module:
    return tt.create_model("rbm", **{"image_shape": (1, 4, 4), "hidden": 3, "sampling_steps": 2, **config})


def classifier(**config: Any) -> nn.Module:
    plain = {"image_shape": (1, 4, 4), "hidden": 3, "t_final": 0.5, "dt": 0.25, "num_classes": 3}
    return tt.create_model("classifier", **{**plain, **config})


def layered(**config: Any) -> nn.Module:
    return tt.create_model("layered", **{"layers": [2, 2], "t_final": 0.5, "dt": 0.25, **config})


def layer(**config: Any) -> tt.ThermodynamicLayer:
    return tt.ThermodynamicLayer(
        **{"in_features": 3, "out_features": 2, "hidden": 2, "t_final": 0.5, "dt": 0.25, **config}
    )


def population() -> dict[str, Tensor]:
    return first_generation({"weight": torch.zeros(2)}, 4, seed=0)


def bayes(**arguments: Any) -> Any:
    plain = {"noise_variance": 1.0, "prior_precision": 1.0, "readout": READOUT, "seed": 0}
    features = torch.eye(3, 2, dtype=torch.float64)
    return linear_algebra.bayesian_linear_regression(features, features[:, 0], EYE, **{**plain, **arguments})


DRAWING = {
    "num_samples": (2, count_or_zero),
    "seed": (3, seed.but(None)),
    "batch_size": (2, count),
    "sample_ids": ([1, 0], ids),
}
CLOCK = {"t_final": (0.5, positive), "dt": (0.25, positive)}
WELL = {"j2": (1.0, signed), "j4": (1.0, not_negative)}
PHYSICS = {"steps": (4, count_or_zero), "dt": (0.25, positive), "temperature": (0.5, not_negative), "seed": (3, seed),
           "start_step": (2, count_or_zero.or_none()), "record": (2, count.or_none()),
           "sample_ids": ([1, 0], ids)}  # fmt: skip
BOARD = {name: (value, positive) for name, value in {
    "capacitance": 1e-8, "noise": 3e-13, "adc_range": 0.5, "sampling_interval": 2e-5, "warmup": 5e-4,
    "inductance": 1e-3, "resistance": 330.0}.items()}  # fmt: skip
CASES: dict[str, tuple[Any, dict[str, tuple[Any, Kind]]]] = {
    "simulate": (run, {**PHYSICS, "mobility": (0.5, not_negative)}),
    "simulate_underdamped": (run_underdamped, {**PHYSICS, "mass": (0.5, positive), "friction": (0.5, not_negative)}),
    "Potential": (lambda **k: tt.Potential(tt.DenseCouplings(3), **k), {**WELL, "bias": (0.5, signed)}),
    "DenseCouplings": (tt.DenseCouplings, {"num_units": (3, count)}),
    "LatticeCouplings": (lambda **k: tt.LatticeCouplings(**{"offsets": [(0, 1)], **k}), {"shape": ([2, 3], counts)}),
    "OrnsteinUhlenbeck.sample": (
        lambda **k: tt.OrnsteinUhlenbeck(EYE).sample(torch.tensor([0.0, 1.0]), torch.zeros(2, 2), **{"seed": 0, **k}),
        {"seed": (3, seed), "sample_ids": ([1, 0], ids), "start_step": (2, count_or_zero)},
    ),
    "layer": (layer, {**CLOCK, "in_features": (3, count), "out_features": (2, count), "hidden": (2, count_or_zero),
                      "temperature": (0.5, not_negative), "mobility": (0.5, not_negative), **WELL}),
    "layer.forward": (lambda **k: layer()(torch.ones(2, 3), **{"seed": 3, **k}),
                      {"seed": (3, seed), "sample_ids": ([1, 0], ids)}),
    "layer.run": (lambda **k: layer().run(torch.ones(2, 3), 3, **k), {"dt": (0.5, positive.or_none())}),
    "generator": (generator, {
        **CLOCK, **WELL, "hidden": (4, count), "num_classes": (2, count_or_zero), "temperature": (0.5, not_negative),
        "mobility": (0.5, not_negative), "readout_time": (0.25, not_negative), "image_shape": ([1, 2, 3], counts)}),
    "generator.generate": (lambda **k: generator().generate(**{"num_samples": 2, **k}), DRAWING),
    "generator.labels": (lambda **k: generator(num_classes=3).generate(2, **k), {"labels": ([2, 1], labels)}),
    "generator.sample": (lambda **k: generator().sample(**{"num_samples": 2, **k}), DRAWING),
    "chain": (chain, {
        "image_shape": ([1, 4, 4], counts), "hidden": (3, count), "t_stage": (0.5, positive), "dt": (0.125, positive),
        "temperature": (0.25, positive), "readout_time": (0.125, positive), "hidden_spread": (0.5, not_negative)}),
    "chain.generate": (lambda **k: chain().generate(**{"num_samples": 2, **k}), DRAWING),
    "noising": (lambda **k: asdict(Noising(**{"hidden": 2, "t_final": 0.5, "dt": 0.25, **k})), {
        **CLOCK, **WELL, "hidden": (2, count_or_zero), "temperature": (0.5, not_negative), "ramp": (0.5, positive),
        "strength": (0.5, signed)}),
    "noising.coarser": (lambda times: asdict(Noising(2, t_final=1.0, dt=0.125).coarser(times)), {"times": (2, count)}),
    "ddpm": (ddpm, {"image_size": (8, count), "channels": (1, count), "num_train_timesteps": (10, count),
                    "num_classes": (3, count_or_zero), "guidance": (2.0, signed), "layers_per_block": (1, count)}),
    "ddpm.generate": (lambda **k: ddpm().generate(**{"num_samples": 2, "steps": 2, **k}), {
        **DRAWING, "steps": (2, count.or_none()), "guidance": (2.0, signed.or_none()), "labels": ([2, 1], labels)}),
    "gaussians": (lambda **k: tt.create_model("gaussians", **k), {
        "image_shape": ([1, 5, 4], counts), "num_classes": (2, count_or_zero), "components": (3, count.or_none())}),
    "gaussians.generate": (lambda **k: gaussians().generate(**{"num_samples": 2, **k}),
                           {**DRAWING, "labels": ([2, 1], labels)}),
    "rbm": (rbm, {"image_shape": ([1, 2, 3], counts), "hidden": (3, count), "sampling_steps": (3, count)}),
    "rbm.generate": (lambda **k: rbm().generate(**{"num_samples": 2, **k}), DRAWING),
    "classifier": (classifier, {
        **CLOCK, **WELL, "image_shape": ([1, 2, 3], counts), "num_classes": (3, count), "hidden": (3, count_or_zero),
        "temperature": (0.5, not_negative), "sharpness": (2.0, not_negative), "pixel_std": (0.5, positive),
        "pixel_mean": (0.5, signed)}),
    "classifier.infer": (lambda **k: classifier().infer(torch.ones(2, 1, 4, 4), **{"seed": 0, **k}), {
        "runs": (2, count), "seed": (3, seed), "batch_size": (2, count), "sample_ids": ([1, 0], ids)}),
    "layered": (layered, {**CLOCK, **WELL, "layers": ([2, 3], counts), "temperature": (0.5, not_negative)}),
    "layered.forward": (lambda **k: layered()(torch.ones(2), **{"seed": 3, **k}), {
        "samples": (2, count), "seed": (3, seed), "first_sample": (2, count_or_zero), "dt": (0.5, positive.or_none()),
        "t_final": (0.25, positive.or_none())}),
    "neuron_response": (
        lambda **k: neuron_response(torch.ones(3), **{"t_final": 0.5, "num_samples": 2, "seed": 0, **k}), {
        **CLOCK, **WELL, "num_samples": (2, count.but(1)), "seed": (3, seed), "j3": (0.5, signed),
        "temperature": (0.5, not_negative)}),
    "NeuronActivation": (lambda **k: NeuronActivation(**k)(torch.ones(2)), {
        **WELL, "j3": (0.5, signed), "temperature": (0.5, not_negative)}),
    "NeuronNet": (lambda **k: NeuronNet(**{"in_features": 2, **k}), {
        "in_features": (2, count), "hidden": ([2, 3], counts), "num_classes": (3, count), **WELL,
        "temperature": (0.5, not_negative)}),
    "thermo_conv": (lambda **k: tt.create_model("thermo_conv", **k), {
        "t_final": (0.5, positive), "dt": (0.1, positive), "image_shape": ([1, 9, 8], counts),
        "widths": ([2, 3], counts), "hidden": (3, count),
        "num_classes": (3, count), "temperature": (0.5, not_negative), "strength": (2.0, signed)}),
    "judge": (FeatureNet, {"image_size": (8, count), "channels": (1, count), "widths": ([2, 3], counts),
                           "num_features": (3, count), "num_classes": (3, count)}),
    "judge.divide_features": (lambda scale: FeatureNet(8).divide_features(scale), {"scale": (2.0, positive)}),
    "imperfections": (lambda **k: imperfect_parameters(nn.Linear(2, 2), **{"seed": 0, "mismatch": 0.1, **k}), {
        "bits": (3, count.or_none().but(1)), "mismatch": (0.5, not_negative), "seed": (3, seed),
        "device_id": (3, count_or_zero)}),
    "first_generation": (lambda **k: first_generation({"weight": torch.zeros(2)}, **{"size": 2, "seed": 0, **k}), {
        "size": (2, count), "std": (0.5, not_negative), "seed": (3, seed)}),
    "next_generation": (
        lambda **k: next_generation(population(), torch.arange(4.0), {"weight": 1.0},
                                    **{"generation": 1, "keep": 2, "seed": 0, **k}),
        {"keep": (2, count), "strength": (0.5, not_negative), "seed": (3, seed), "generation": (3, count)}),
    "Readout": (Readout, {"reads": (40, count.but(1)), "interval": (0.5, positive), "replicas": (2, count),
                          "warmup": (0.5, not_negative.or_none()), "blocks": (2, count.but(1))}),
    "Device": (Device, {"temperature": (0.5, positive), "friction": (0.5, positive), "dt": (0.5, positive.or_none())}),
    "ClassificationProtocol": (ClassificationProtocol, {
        "runs": (20, count.but(1)), "averaged": (5, count), "devices": (3, count_or_zero.but(1)),
        "bits": (3, count.or_none().but(1)),
        "mismatch": (0.5, not_negative), "seed": (3, seed.but(None)), "batch_size": (2, count)}),
    "heat_rows": (lambda **k: heat_rows(**{"heat": torch.ones(2), "seed": 0, **k}), {
        "seed": (3, seed.but(None)), "kelvin": (300.0, positive)}),
    "bennett": (lambda **k: bennett(torch.arange(3.0), -torch.arange(3.0), **k), {"temperature": (0.5, positive)}),
    "solve": (lambda **k: linear_algebra.solve(EYE, ONES, readout=READOUT, **k), {"seed": (3, seed)}),
    "inverse": (lambda **k: linear_algebra.inverse(EYE, readout=READOUT, **k), {"seed": (3, seed)}),
    "lyapunov": (lambda **k: linear_algebra.lyapunov(EYE, EYE, readout=READOUT, **k), {"seed": (3, seed)}),
    "expm": (lambda **k: linear_algebra.expm(EYE, readout=READOUT, **k), {"seed": (3, seed)}),
    "logdet_by_integration": (
        lambda **k: linear_algebra.logdet_by_integration(EYE, readout=READOUT, **{"nodes": 2, "seed": 0, **k}),
        {"nodes": (3, count), "seed": (3, seed)}),
    "logdet_by_switching": (
        lambda **k: linear_algebra.logdet_by_switching(EYE, **{"replicas": 2, "stages": 2, "seed": 0, **k}),
        {"replicas": (3, count.but(1)), "stages": (3, count), "duration": (2.0, positive), "seed": (3, seed)}),
    "gaussian_process": (
        lambda **k: linear_algebra.gaussian_process(
            EYE, EYE, ONES, ONES, **{"noise_variance": 0.5, "readout": READOUT, "seed": 0, **k}),
        {"noise_variance": (0.25, positive), "seed": (3, seed)}),
    "bayesian_linear_regression": (bayes, {
        "noise_variance": (0.5, positive), "prior_precision": (0.5, positive), "seed": (3, seed)}),
    "natural_gradient": (
        lambda **k: linear_algebra.natural_gradient(EYE, ONES, **{"time": 1.0, "replicas": 2, "seed": 0, **k}), {
        "time": (0.5, not_negative), "replicas": (3, count), "seed": (3, seed)}),
    "gauss_newton": (lambda damping: linear_algebra.gauss_newton(torch.ones(1, 1, 2), torch.ones(1, 1, 1), damping),
                     {"damping": (0.5, positive)}),
    "spu": (lambda **k: tt.create_model("spu", **k), {
        **BOARD, "cells": (3, count), "adc_bits": (8, count.or_none()), "tolerance": (0.25, not_negative)}),
    "spu.inverse": (
        lambda **k: tt.create_model("spu", cells=2).inverse(EYE, **{"reads": 40, "seed": 0, **k}), {
            "reads": (50, count), "boards": (2, count), "first_board": (2, count_or_zero), "seed": (3, seed),
            "hardware_seed": (3, seed.but(None))}),
    "spu.gaussian": (
        lambda **k: tt.create_model("spu", cells=2).gaussian(precision=EYE, **{"num_samples": 3, "seed": 0, **k}),
        {"num_samples": (3, count), "seed": (3, seed), "board": (2, count_or_zero),
         "hardware_seed": (3, seed.but(None))}),
    "averaging": (lambda **k: averaging(ONES, **{"step": 0.3, **k}),
                  {"step": (0.5, positive), "settings": (3, count.or_none())}),
}  # fmt: skip


def contents(result: Any) -> Any:
    """Return the parts of a result that a comparison reads."""
    if isinstance(result, nn.Module):
        return getattr(result, "config", None) or str(result)
    if isinstance(result, Tensor):
        return result.tolist()
    if isinstance(result, dict):
        return {name: contents(value) for name, value in result.items()}
    if is_dataclass(result):
        return contents(vars(result))
    return [contents(part) for part in result] if isinstance(result, tuple | list) else result


def spelled(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__} {value}"[:40]


ARGUMENTS = [(case, name) for case, (_, arguments) in CASES.items() for name in arguments]


@pytest.mark.parametrize(("case", "name"), ARGUMENTS)
def test_a_value_may_be_spelled_as_numpy_and_torch_do(case, name):
    function, arguments = CASES[case]
    value, kind = arguments[name]

    def result(spelling: Any) -> Any:
        torch.manual_seed(1)
        return contents(function(**{name: spelling}))

    plain = result(value)
    for spelling in kind.same(value):
        found = result(spelling)
        assert found == plain or str(found) == str(plain), spelled(spelling)  # NaN is not itself
        assert "numpy" not in repr(found) and "tensor" not in repr(found), f"{spelled(spelling)} is kept as it is"


@pytest.mark.parametrize(("case", "name"), ARGUMENTS)
def test_what_is_no_value_is_refused_by_name(case, name):
    function, arguments = CASES[case]
    for bad in arguments[name][1].bad:
        with pytest.raises((TypeError, ValueError)) as refused:
            function(**{name: bad})
            pytest.fail(f"took {spelled(bad)}")
        assert name in str(refused.value), f"{spelled(bad)}: {refused.value}"


@pytest.mark.parametrize(("case", "name"), [pair for pair in ARGUMENTS if CASES[pair[0]][1][pair[1]][1].ends])
def test_the_last_value_before_those_that_are_refused_is_taken(case, name):
    function, arguments = CASES[case]
    for end in arguments[name][1].ends:
        function(**{name: end})


@pytest.mark.parametrize(
    ("function", "name"),
    [(run, "dt"), (run, "temperature"), (run, "mobility"), (run_underdamped, "mass"), (layer, "temperature")],
)
def test_a_number_that_wants_a_gradient_is_refused_where_none_would_reach_it(function, name):
    wanting = torch.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match=f"{name}: no gradient reaches it"):
        function(**{name: wanting})
    with torch.no_grad():
        assert contents(function(**{name: wanting}))
