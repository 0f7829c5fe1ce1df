"""Public constructors and calls take a value or refuse it in a sentence that names the argument, whatever the value."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.underdamped import simulate_underdamped
from thermotorch.linear_algebra.device import Device, Readout
from thermotorch.models.baselines.boltzmann import RestrictedBoltzmannMachine
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.models.judge import FeatureNet

HOSTILE: dict[str, Any] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "1e400": 10**400,
    "10**30": 10**30,
    "1e-320": 1e-320,
    "-1": -1,
    "0": 0,
    "complex": 1j,
    "True": True,
    "text": "3",
    "None": None,
    "list": [],
    "dict": {},
    "0-d": torch.tensor(3),
    "0-d nan": torch.tensor(float("nan")),
    "0-d complex": torch.tensor(1j),
    "tensor of nan": torch.full((4,), float("nan")),
    "wrong shape": torch.zeros(2, 5),
    "numpy": np.float64(0.5),
    "numpy integer": np.int64(2),
    "numpy nan": np.float32("nan"),
    "numpy bool": np.bool_(True),
    "object": object(),
}


def potential() -> tt.Potential:
    return tt.Potential(tt.BlockCouplings({"a": 2, "b": 2}, [("a", "b")]))


def state() -> torch.Tensor:
    return torch.zeros(2, 4)


SMALL = {"image_shape": (1, 4, 4), "hidden": 4, "t_final": 0.2, "dt": 0.1, "integrator": "alternating"}
PLAIN = {**SMALL, "hidden_hidden": False}
RUN = {"steps": 2, "dt": 0.01, "temperature": 0.1, "seed": 0}


def generator(**changes: Any) -> Any:
    return tt.create_model("generator", **{**PLAIN, **changes})


def chain(**changes: Any) -> Any:
    first = {"hidden": 4, "hidden_hidden": False, "t_final": 0.2, "dt": 0.1, "integrator": "alternating"}
    plain = {"image_shape": (1, 4, 4), "first": first, "angles": (40.0,), "hidden": 4, "t_stage": 0.2, "dt": 0.1}
    return tt.create_model("chain", **{**plain, "readout_time": 0.1, **changes})


def ddpm(**changes: Any) -> Any:
    return DiffusionModel(**{"image_size": 4, "block_out_channels": (8,), "num_classes": 2, **changes})


def call(make: Callable[..., Any], method: str, **fixed: Any) -> Callable[..., Any]:
    return lambda **changes: getattr(make(), method)(**{**fixed, **changes})


TARGETS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "simulate": (
        lambda **changes: tt.simulate(potential(), **{"state": state(), **RUN, **changes}),
        ("state", "steps", "dt", "temperature", "mobility", "seed", "sample_ids", "drive", "clamp", "integrator",
         "record", "backend", "start_step", "stream", "observers", "precision"),
    ),
    "simulate, alternating": (
        lambda **changes: tt.simulate(potential(), **{"state": state(), **RUN, "integrator": "alternating", **changes}),
        ("dt", "temperature", "mobility", "drive"),
    ),
    "simulate_underdamped": (
        lambda **changes: simulate_underdamped(potential(), **{"state": state(), **RUN, **changes}),
        ("state", "steps", "dt", "temperature", "mass", "friction", "velocity", "seed", "sample_ids", "drive", "clamp",
         "record", "start_step"),
    ),
    "Potential": (
        lambda **changes: tt.Potential(tt.DenseCouplings(4), **changes),
        ("j2", "j3", "j4", "bias", "fixed_bias"),
    ),
    "DenseCouplings": (lambda **changes: tt.DenseCouplings(**changes), ("num_units",)),
    "LatticeCouplings": (
        lambda **changes: tt.LatticeCouplings(**{"shape": (2, 2), "offsets": [(0, 1)], **changes}),
        ("shape", "offsets"),
    ),
    "BlockCouplings": (
        lambda **changes: tt.BlockCouplings(**{"groups": {"a": 2, "b": 2}, "pairs": [("a", "b")], **changes}),
        ("groups", "pairs"),
    ),
    "ThermodynamicLayer": (
        lambda **changes: tt.ThermodynamicLayer(**{"in_features": 2, "out_features": 2, "hidden": 2, **changes}),
        ("in_features", "out_features", "hidden", "t_final", "dt", "temperature", "j2", "j3", "j4", "mobility",
         "integrator"),
    ),
    "layer": (
        lambda **changes: tt.ThermodynamicLayer(2, 2, hidden=2, t_final=0.01)(
            **{"features": torch.zeros(2, 2), "seed": 0, **changes}
        ),
        ("features", "seed", "sample_ids"),
    ),
    "generator": (
        generator,
        ("image_shape", "hidden", "num_classes", "temperature", "t_final", "dt", "j2", "j4", "mobility",
         "display_range", "integrator", "readout_time", "schedule"),
    ),
    "generator.sample": (
        call(generator, "sample", num_samples=2),
        ("num_samples", "seed", "sample_ids", "labels", "known", "mask", "batch_size", "times"),
    ),
    "generator.generate": (
        call(generator, "generate", num_samples=2), ("num_samples", "seed", "sample_ids", "labels", "batch_size")
    ),
    "chain": (
        chain,
        ("image_shape", "first", "angles", "order", "hidden", "t_stage", "dt", "temperature", "readout_time",
         "hidden_spread"),
    ),
    "chain.sample": (
        call(chain, "sample", num_samples=2), ("num_samples", "seed", "sample_ids", "labels", "batch_size", "times")
    ),
    "rbm": (RestrictedBoltzmannMachine, ("image_shape", "hidden", "sampling_steps")),
    "rbm.generate": (
        call(lambda: RestrictedBoltzmannMachine((1, 4, 4), 4, 2), "generate", num_samples=2),
        ("num_samples", "seed", "sample_ids", "batch_size"),
    ),
    "gaussians": (Gaussians, ("image_shape", "num_classes", "components")),
    "gaussians.generate": (
        call(lambda: Gaussians((1, 4, 4), 2, 2), "generate", num_samples=2),
        ("num_samples", "seed", "sample_ids", "labels", "batch_size"),
    ),
    "ddpm": (
        ddpm,
        ("image_size", "channels", "block_out_channels", "layers_per_block", "num_train_timesteps", "beta_schedule",
         "prediction_type", "num_classes", "guidance"),
    ),
    "ddpm.generate": (
        call(ddpm, "generate", num_samples=1, sampler="ddim", steps=1),
        ("num_samples", "seed", "sample_ids", "labels", "batch_size", "sampler", "guidance"),
    ),
    "feature net": (FeatureNet, ("image_size", "channels", "widths", "num_features", "num_classes")),
    "Readout": (Readout, ("reads", "interval", "warmup", "replicas", "blocks")),
    "Device": (lambda **changes: Device(**changes), ("temperature", "friction", "dt")),
}  # fmt: skip
CASES = [(target, argument) for target, (_, arguments) in TARGETS.items() for argument in arguments]


def finite(found: Any) -> bool:
    if isinstance(found, torch.Tensor):
        return not found.is_floating_point() or bool(torch.isfinite(found).all())
    if isinstance(found, torch.nn.Module):
        return all(map(finite, found.state_dict().values()))
    if isinstance(found, tuple):
        return all(map(finite, found))
    return all(map(finite, (found.state, found.heat))) if hasattr(found, "heat") else True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("target", "argument"), CASES, ids=[f"{target}: {argument}" for target, argument in CASES])
def test_a_hostile_value_is_right_or_refused_by_name(target, argument):
    wrong = []
    for name, value in HOSTILE.items():
        try:
            with torch.no_grad():
                found = TARGETS[target][0](**{argument: value})
        except FloatingPointError as error:  # finite but absurd: the run names its step and a dt to try
            if "10**30" not in name or "try dt=" not in str(error):
                wrong.append(f"{name}: {error}")
        except (ValueError, TypeError) as error:
            if argument not in str(error):
                wrong.append(f"{name}: {type(error).__name__}: {error}")
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        else:
            if not finite(found):
                wrong.append(f"{name}: gives numbers that are not finite")
            elif "nan" in name or "inf" in name or "complex" in name:
                wrong.append(f"{name}: taken")
    assert not wrong, "\n".join(wrong)
