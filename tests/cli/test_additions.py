"""Settings added with `+` reach something that reads them, or are refused."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from thermotorch import cli
from thermotorch.cli.additions import refuse_unread


def check(program: str, *overrides: str) -> None:
    folder = cli.CONFIG_DIR if program == "train" else cli.CONFIG_DIR / "zoo"
    with initialize_config_dir(str(folder), version_base="1.3"):
        cfg = compose(program, overrides=list(overrides))
    refuse_unread(cfg, list(overrides), folder / f"{program}.yaml")


@pytest.mark.parametrize(
    "program, override, meant",
    [
        ("train", "+max_steps=10", "did you mean 'trainer.max_steps'"),
        ("train", "++batch_size=7", "did you mean 'data.batch_size'"),
        ("train", "+sed=1", "did you mean 'seed'"),
        ("train", "+foo.bar=1", "known: "),
        ("train", "+foo={bar: 1}", "known: "),
        ("evaluate", "+options.precision=bf16", "did you mean 'protocol.precision'"),
        ("compare", "+sampler=ddim:50", "did you mean 'protocol.sampler'"),
        ("benchmark", "+step=5", "did you mean 'steps'"),
        ("export", "+temperature=0.1", "known: "),
    ],
)
def test_an_addition_that_nothing_reads_is_refused_with_what_was_meant(program, override, meant):
    model = ["model=generator.digits8x8"] if program in ("evaluate", "export") else []
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ValueError, match=f"unknown setting '{key}'; {meant}"):
        check(program, *model, override)


@pytest.mark.parametrize(
    "program, overrides",
    [
        ("train", ["experiment=three_digits", "+trainer.max_time=00:00:01:00", "+model.pretrained=true"]),
        ("train", ["+optimizer.momentum=0.9", "+callbacks.mine._target_=lightning.pytorch.callbacks.Timer"]),
        ("train", ["+size=3", "data.batch_size=${size}"]),
        ("train", ["experiment=three_digits", "++seed=3"]),
        ("evaluate", ["model=generator.mnist", "+config.dt=0.1", "+config.first={t_final: 1}"]),
        ("sample", ["+options.sampler=ddim", "+options.steps=50"]),
        ("benchmark", ["+model.hidden=64"]),
    ],
)
def test_an_addition_to_what_is_read_is_taken(program, overrides):
    check(program, *overrides)


def test_nodes_that_a_group_brings_with_it_are_taken(tmp_path):
    """The group of a user's package defines a node, to which the command line adds."""
    (tmp_path / "main.yaml").write_text("seed: 0\n")
    cfg = OmegaConf.create({"seed": 0, "mine": {"brought": 1, "added": 2}})
    refuse_unread(cfg, ["+mine=group", "+mine.added=2"], tmp_path / "main.yaml")
    with pytest.raises(ValueError, match="unknown setting 'other.added'"):
        refuse_unread(OmegaConf.create({"seed": 0, "other": {"added": 2}}), ["+other.added=2"], tmp_path / "main.yaml")


@pytest.mark.usefixtures("stand_ins")
def test_a_command_refuses_it_before_any_work(run):
    with pytest.raises(SystemExit, match="error: unknown setting 'num_sample'; did you mean 'num_samples'"):
        run(cli.sample_main, "model=generator.three_digits", "+num_sample=3")
