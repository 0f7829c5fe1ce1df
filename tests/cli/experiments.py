"""Experiments of `configs/experiment/`, and a small version of each for tests."""

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from thermotorch import cli

EXPERIMENTS = sorted(path.stem for path in (cli.CONFIG_DIR / "experiment").glob("*.yaml"))
SMALL = {
    "classifier": ["model.config.hidden=4", "model.config.t_final=0.02"],
    "generator": ["model.config.hidden=8", "model.config.t_final=0.05"],
    "ddpm": [
        "+model.config.block_out_channels=[8,8]",
        "++callbacks.sample_grid.num_samples=2",
        "++callbacks.sample_grid.generate={steps: 2}",
    ],
    "flow": ["+model.config.block_out_channels=[8,8]"],
    "feature_net": [],
    "layered": [],
    "thermo_conv": [],
    "gaussians": [],
    "chain": [
        "model.config.hidden=8",
        "model.config.first.t_final=0.05",
        "+model.config.first.hidden=8",
        "objective.first=null",
        "objective.start_from=null",
        "objective.features=null",
    ],
    "rbm": ["model.config.hidden=8", "model.config.sampling_steps=3"],
}


def configure(*overrides: str, config: str = "train"):
    """The composed configuration, with what `${hydra:...}` refers to."""
    with initialize_config_dir(str(cli.CONFIG_DIR), version_base="1.3"):
        cfg = compose(config, overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def small(experiment: str) -> list[str]:
    """One step of an experiment on the 8x8 digits, with a network of a few units."""
    model = configure(f"experiment={experiment}").model
    kind = model.name.partition(".")[0]
    fresh = [f"model.name={kind}", "model.pretrained=false"] if "pretrained" in model else []
    # The networks that teach and judge 28 x 28 images have nothing to say about these.
    untaught = [
        "model.config.t_final=1.0",
        "callbacks=ema",
        *(["data.val_size=0"] if experiment.startswith("mnist") else []),
    ]
    untaught += [f"objective.{key}=null" for key in ("features", "contrastive_steps", "start_from")]
    untaught = untaught if experiment.startswith(("mnist_generator", "digits8x8")) else []
    return [f"experiment={experiment}", "data=digits8x8", "debug=fast", *fresh, *SMALL[kind], *untaught]
