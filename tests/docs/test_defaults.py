"""Defaults are part of the interface: who leaves an argument out gets the same run from one version to the next.

Written down once more, so that none changes by accident; arguments whose default is None are left out.
"""

import inspect
from enum import Enum
from importlib import import_module
from operator import attrgetter

import pytest

DEFAULTS = {
    "circuit.board:board_netlist": "reltol=0.0001",
    "circuit.cell:Cell": "saturation=6.478e-06, resistance=378.6, tail=4.177e-05, overdrive=0.2, trim=-2.484e-07",
    "circuit.cell:transconductor": "rails=('vdd', 'vss')",
    "circuit.cell:well": "rails=('vdd', 'vss')",
    "circuit.cell:measure": "reach=1.5",
    "circuit.cell_netlist:cell_netlist": "scale=CELL_SCALE, reltol=0.0001",
    "circuit.cell_netlist:cell_energies": "scale=CELL_SCALE, reltol=0.0001",
    "circuit.cell_netlist:supplied": "scale=CELL_SCALE",
    "circuit.export:write_netlist": "name='machine', metered=False, run=False",
    "circuit.machine:AnalogMachine": "readout_time=0.0, full_scale=(-1.0, 1.0)",
    "circuit.machine:Segment": "temperature=0.0, gain=1.0",
    "circuit.machine:from_potential": "mobility=1.0",
    "circuit.machine:mismatched_capacitors": "device_id=0",
    "circuit.netlist:netlist": "waveform=True, metered=False, reltol=0.0001, name='machine'",
    "circuit.netlist:control": "metered=False",
    "circuit.ngspice:circuit_energies": "reltol=1e-06",
    "circuit.scale:Scale": "farad=2e-13, second=1e-06, kelvin=300.0, supply=0.8",
    "couplings:Couplings.spectral_norm": "iterations=20",
    "couplings:BlockCouplings": "one_to_one=()",
    "data.augmentation:jitter": "rotation=0.0, scale=0.0, shift=0.0, elastic=0.0",
    "dynamics:simulate": "mobility=1.0, integrator='euler_maruyama', backend='auto', precision='ieee'",
    "dynamics.linear.ornstein_uhlenbeck:OrnsteinUhlenbeck.sample": "start_step=0",
    "dynamics.linear.transition:LinearTransition.run": "start_step=0",
    "dynamics.noise:normals": "stream=DYNAMICS, dtype=torch.float32",
    "dynamics.noise:NormalStream": "stream=DYNAMICS, dtype=torch.float32",
    "dynamics.observe:Moments": "warmup=0, every=1, covariance=False",
    "dynamics.observe:PathAction": "reverse=False, driven=True",
    "dynamics.path_weights:PathWeights": "reverse_driven=True",
    "dynamics.splitting:on_site": "mobility=1.0",
    "dynamics.splitting:flows": "mobility=1.0",
    "dynamics.stability:heat_error": "far=False",
    "dynamics.underdamped:simulate_underdamped": "mass=1.0, friction=1.0",
    "dynamics.underdamped:harmonic": "mass=1.0, friction=1.0",
    "lattice:LatticeCouplings": "periodic=False",
    "layer:ThermodynamicLayer": (
        "hidden=64, t_final=0.2, dt=0.001, temperature=1.0, j2=1.0, j3=0.0, j4=1.0, mobility=1.0, "
        "integrator='euler_maruyama'"
    ),
    "linear_algebra.board.circuit:Circuit.stream": "start_step=0",
    "linear_algebra.board.circuit:Circuit.voltages": "start_step=0",
    "linear_algebra.board.spu:StochasticProcessingUnit": (
        "cells=8, inductance=0.001, resistance=330.0, capacitance=1e-08, noise=3e-13, tolerance=0.0, "
        "adc_range=0.5, sampling_interval=2e-05, warmup=0.0005"
    ),
    "linear_algebra.board.spu:StochasticProcessingUnit.circuits": (
        "boards=1, first_board=0, hardware_seed=0, mitigate=False"
    ),
    "linear_algebra.board.spu:StochasticProcessingUnit.read": "start_step=0",
    "linear_algebra.board.spu:StochasticProcessingUnit.moments": "start_step=0",
    "linear_algebra.board.spu:StochasticProcessingUnit.inverse": (
        "reads=20000, boards=1, first_board=0, hardware_seed=0, mitigate=False"
    ),
    "linear_algebra.board.spu:StochasticProcessingUnit.gaussian": "board=0, hardware_seed=0",
    "linear_algebra.determinant:logdet_by_integration": "nodes=16, check=True",
    "linear_algebra.determinant:logdet_by_switching": "replicas=2000, stages=32, duration=10.0, check=True",
    "linear_algebra.device:Readout": "reads=10000, interval=1.0, replicas=1, blocks=20",
    "linear_algebra.device:Device": "temperature=1.0, inertia=False, friction=1.0",
    "linear_algebra.device:Device.average": "first_sample=0",
    "linear_algebra.device:Device.process": "first_sample=0",
    "linear_algebra.device:combine": "scale=1.0",
    "linear_algebra.natural_gradient:natural_gradient": "replicas=1",
    "linear_algebra.regression:gaussian_process": "check=True",
    "linear_algebra.regression:bayesian_linear_regression": "check=True",
    "linear_algebra.solve:solve": "precondition='diagonal', check=True",
    "linear_algebra.solve:inverse": "precondition='diagonal', check=True",
    "linear_algebra.solve:lyapunov": "check=True",
    "models.baselines.boltzmann:RestrictedBoltzmannMachine": "image_shape=(1, 28, 28), hidden=512, sampling_steps=500",
    "models.baselines.boltzmann:RestrictedBoltzmannMachine.gibbs": "first_step=0, stream=DYNAMICS",
    "models.baselines.boltzmann:RestrictedBoltzmannMachine.generate": "seed=0, batch_size=256",
    "models.baselines.diffusion:DiffusionModel": (
        "image_size=28, channels=1, block_out_channels=(32, 64, 64), layers_per_block=1, attention=True, "
        "num_train_timesteps=1000, beta_schedule='squaredcos_cap_v2', prediction_type='v_prediction', "
        "num_classes=0, guidance=1.0"
    ),
    "models.baselines.diffusion:DiffusionModel.generate": "seed=0, batch_size=256, execution='float32'",
    "models.baselines.flow:FlowMatchingModel": (
        "image_size=28, channels=1, block_out_channels=(32, 64, 64), layers_per_block=1, attention=True, "
        "num_train_timesteps=1000, num_classes=0, guidance=1.0"
    ),
    "models.baselines.gaussians:Gaussians": "image_shape=(1, 28, 28), num_classes=10, components=20",
    "models.baselines.gaussians:Gaussians.generate": "seed=0, batch_size=256",
    "models.classifier.groups:layered_couplings": "mediators=0",
    "models.classifier.groups:plain_by_group": "signed=False",
    "models.classifier.layered:LayeredComputer": (
        "layers=(8, 8, 8, 8, 1), temperature=0.1, t_final=1.0, dt=0.001, j2=1.0, j4=1.0"
    ),
    "models.classifier.layered:LayeredComputer.forward": "samples=1, first_sample=0, integrator='euler_maruyama'",
    "models.classifier.machine:ThermodynamicClassifier": (
        "image_shape=(1, 28, 28), num_classes=10, hidden=64, temperature=1.0, t_final=0.2, dt=0.001, j2=1.0, "
        "j4=1.0, sharpness=4.0, pixel_mean=0.13066, pixel_std=0.30811"
    ),
    "models.classifier.machine:ThermodynamicClassifier.infer": "runs=1, batch_size=2000",
    "models.classifier.neuron:neuron_activation": "j2=1.0, j3=0.0, j4=1.0, temperature=1.0",
    "models.classifier.neuron:NeuronActivation": "j2=1.0, j3=0.0, j4=1.0, temperature=1.0",
    "models.classifier.neuron_net:NeuronNet": "hidden=(32, 32), num_classes=10, temperature=0.1, j2=1.0, j4=1.0",
    "models.classifier.thermo_conv:ThermodynamicConvNet": (
        "image_shape=(1, 28, 28), widths=(8, 16), hidden=32, num_classes=10, temperature=1.0, t_final=0.2, "
        "dt=0.005, integrator='splitting', strength=10.0"
    ),
    "models.drawing:ImageDevice.sample": "seed=0, batch_size=256, times=(), precision='ieee'",
    "models.generator.chain:ThermodynamicChain": (
        "image_shape=(1, 28, 28), angles=(68.0, 52.0, 38.0, 26.0, 16.0), hidden=896, t_stage=2.4, dt=0.06, "
        "temperature=0.03, readout_time=0.24, hidden_spread=0.1"
    ),
    "models.generator.chain:ThermodynamicChain.phases": "weigh=False, record=False, precision='ieee'",
    "models.generator.machine:ThermodynamicGenerator": (
        "image_shape=(1, 28, 28), hidden=512, hidden_hidden=True, visible_bias=False, num_classes=0, "
        "temperature=0.1, t_final=2.5, dt=0.001, j2=1.0, j4=1.0, mobility=1.0, display_range=(-0.35, 0.95), "
        "integrator='euler_maruyama', readout_time=0.0"
    ),
    "models.generator.machine:ThermodynamicGenerator.noising": "strength=2.0, ramp=0.75",
    "models.generator.machine:ThermodynamicGenerator.denoise": "start_step=0, stream=DYNAMICS",
    "models.generator.machine:ThermodynamicGenerator.read": "start_step=0",
    "models.generator.machine:ThermodynamicGenerator.readings": "start_step=0",
    "models.generator.stage:DenoisingStage": "amplitude=0.75, hidden_spread=0.1",
    "models.generator.stage:DenoisingStage.draw": "weigh=False, record=False, precision='ieee'",
    "models.imperfections:imperfect_parameters": "mismatch=0.0, device_id=0",
    "models.imperfections:realise": "mismatch=0.0, device_id=0",
    "models.judge:FeatureNet": "image_size=28, channels=1, widths=(32, 64), num_features=64, num_classes=10",
    "models.population:run_population": "mirrored=False",
    "models.protocol:Generator.generate": "seed=0, batch_size=256",
    "models.protocol:Thermodynamic.generate": "seed=0, batch_size=256",
    "models.protocol:Classifier.infer": "runs=1, batch_size=2000",
    "objectives.closed_form:fit_closed_form": "ridges=(30.0, 10.0, 3.0, 1.0, 0.3), tolerance=0.001, max_iterations=500",
    "objectives.genetic:first_generation": "std=0.1",
    "objectives.genetic:next_generation": "keep=5, strength=0.1",
    "objectives.path_action:guide_path": "j2=1.0, j4=1.0",
    "objectives.path_action:splitting_action": "mobility=1.0, reverse=False",
    "potential:Potential": "j2=1.0, j3=0.0, j4=1.0, bias=0.0",
    "potential:Potential.stable_dt": "temperature=0.0, steps=1000000",
    "potential:Potential.stable_dt_bound": "temperature=0.0, steps=1000000",
    "training.callbacks:SampleGrid": "every_n_steps=500, num_samples=64, columns=8, seed=0",
    "training.callbacks:UpdateRate": "every_n_steps=100",
    "training.callbacks:HeldOutDistance": (
        "every_n_steps=250, num_samples=1000, seed=1048576, judge='feature_net.mnist'"
    ),
    "training.data:Batches": "rank=0, world_size=1",
    "training.data:ImageData": (
        "data_dir='data', batch_size=128, normalisation='unit', val_size=0, seed=0, download=True"
    ),
    "training.chain_module:ChainModule": "seed=0",
    "training.module:TrainingModule": "seed=0",
    "training.optimizers:MuonAndAdam": "lr=0.01, momentum=0.95, weight_decay=0.0, betas=(0.9, 0.999)",
    "training.optimizers:rate_factor": "warmup=0",
    "training.release:release": "notes='', parts=()",
    "training.release:release_with_die": "notes=''",
    "training.rollout:rollout": "readout_steps=0, coupled=True",
    "training.sampling:SampleIds": "batch_size=256",
    "training.sampling:Sampling": "seed=0",
    "training.sampling:sample_over_processes": "accelerator='cpu', seed=0, batch_size=64, progress_bar=True",
    "units:kT_to_joule": "kelvin=300.0",
    "units:energy_to_joule": "kelvin=300.0",
    "units:time_to_second": "mobility_time=1e-06",
    "units:landauer_bound": "kelvin=300.0",
    "units:johnson_noise": "kelvin=300.0",
}

SETTINGS = {  # of the objectives of training
    "training.chain_module:ChainModule": {
        "features": "feature_net.training",
        "time_steps": [0.08, 0.06, 0.048, 0.04],
        "label_dropout": 0.1,
        "initial_std": 0.02,
        "heat_weight": 0.0,
        "precision": "ieee",
    },
    "training.classifier_module:ClassifierModule": {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "elastic": 0.0},
    "training.classifier_module:EndToEndModule": {
        "rotation": 0.0,
        "scale": 0.0,
        "shift": 0.0,
        "elastic": 0.0,
        "heat": 0.0,
        "label_smoothing": 0.0,
        "mismatch": 0.0,
    },
    "training.cosine_module:CosineTask": {
        "inputs": 32,
        "samples": 16,
        "dt": 0.02,
        "integrator": "splitting",
        "validate_every": 50,
    },
    "training.cosine_module:CosineModule": {
        "std": 0.1,
        "inputs": 32,
        "samples": 16,
        "dt": 0.02,
        "integrator": "splitting",
        "validate_every": 50,
    },
    "training.diffusion_module:DiffusionModule": {"label_dropout": 0.1, "compile": False, "execution": "float32"},
    "training.generator_module:_NoisingModule": {
        "strength": 2.0,
        "ramp": 0.75,
        "validate_every": 20,
        "validation_paths": 12,
    },
    "training.generator_module:TrajectoryModule": {
        "strength": 2.0,
        "ramp": 0.75,
        "validate_every": 20,
        "validation_paths": 12,
        "coarse": 1,
    },
    "training.generator_module:ClosedFormModule": {
        "strength": 2.0,
        "ramp": 0.75,
        "validate_every": 20,
        "validation_paths": 12,
        "batches": 8,
        "held_out_every": 4,
    },
    "training.genetic_module:_GeneticModule": {"population": 50, "keep": 5, "strength": 0.1, "std": 0.1},
    "training.genetic_module:GeneticCosineModule": {
        "population": 50,
        "keep": 5,
        "strength": 0.1,
        "std": 0.1,
        "inputs": 32,
        "samples": 16,
        "dt": 0.02,
        "integrator": "splitting",
        "validate_every": 50,
        "mirrored": True,
    },
    "training.genetic_module:GeneticClassifierModule": {
        "population": 50,
        "keep": 5,
        "strength": 0.1,
        "std": 0.1,
        "integrator": "euler_maruyama",
        "bias_fan_in": 1.0,
    },
    "training.observation_module:ObservationTimeModule": {
        "persistent": False,
        "distance_rate": 0.2,
        "label_gain": 1.0,
        "precision": "ieee",
        "initial_std": 0.01,
    },
    "training.reference_module:BoltzmannModule": {"chains": 500, "sweeps": 1},
    "training.teacher_student_module:TeacherStudentModule": {
        "rotation": 0.0,
        "scale": 0.0,
        "shift": 0.0,
        "elastic": 0.0,
        "teacher_steps": 4000,
        "guide": 100.0,
        "dt": 0.005,
    },
}


def named(name: str):
    module, _, qualified = name.partition(":")
    return attrgetter(qualified)(import_module(f"thermotorch.{module}"))


def written(name: str, value: object) -> str:
    if name == "scale" and not isinstance(value, int | float):
        return "scale=CELL_SCALE"
    return f"{name}={value.name if isinstance(value, Enum) else repr(value)}"


def _is_plain(argument: inspect.Parameter) -> bool:
    return argument.default not in (argument.empty, None) and "<function" not in repr(argument.default)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_is_the_one_that_was_promised(name):
    given = inspect.signature(named(name)).parameters.values()
    found = [written(each.name, each.default) for each in given if _is_plain(each)]
    assert ", ".join(found) == DEFAULTS[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_an_objective_is_the_one_that_was_promised(name):
    assert {key: value for key, value in named(name).defaults.items() if value is not None} == SETTINGS[name]
