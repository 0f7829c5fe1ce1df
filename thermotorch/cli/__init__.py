"""The command line: Hydra programs that read `configs/` and call the library. The only folder that imports hydra.

Each program is a `*_main`, which reads argv and writes files into a run folder, around a plain function of the composed
configuration. Heavy imports wait until a program needs them, so that `--help` and errors of spelling answer at once.
"""

import json
import logging
import math
import os
import re
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from thermotorch.cli.additions import refuse_unread
from thermotorch.cli.loader import checked_configurations
from thermotorch.cli.targets import instantiate
from thermotorch.files import write_file
from thermotorch.names import unknown_name
from thermotorch.training.plain import plain_mapping

if TYPE_CHECKING:
    from thermotorch.evaluation.quality.novelty import KnownImages

_package = Path(__file__).resolve().parent.parent
CONFIG_DIR = next(
    (folder for folder in (_package / "configs", _package.parent / "configs") if (folder / "train.yaml").is_file()),
    _package / "configs",
)
USER_ERRORS = (ValueError, TypeError, FileNotFoundError, FloatingPointError)

log = logging.getLogger(__name__)

# ${or:a,b} in a configuration is a, or b when a is null.
OmegaConf.register_new_resolver("or", lambda value, default: default if value is None else value, replace=True)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train the model of a configuration (`configs/train.yaml`) and return the last value of every logged quantity.

    Raises:
        ValueError: settings that contradict each other, or an unknown name.
        FileNotFoundError: `ckpt_path=last` without a run to continue.
    """
    import torch

    from thermotorch.evaluation.speed.hardware import describe_hardware
    from thermotorch.training.callbacks import FiniteGradients
    from thermotorch.training.checkpoint_files import WholeCheckpoints, checkpoint_to_resume, keep_finished
    from thermotorch.training.interrupt import StopTogether, interrupt_ends_the_step
    from thermotorch.training.release import RECORD

    _refuse_scripts_in_a_sweep(cfg.trainer)
    run = Path(cfg.paths.output_dir)
    resume = checkpoint_to_resume(cfg.ckpt_path, run, plain_mapping(cfg))
    torch.manual_seed(cfg.seed)
    module = instantiate(cfg.module)
    logging.getLogger("lightning").handlers.clear()  # Hydra's handlers already print and file its messages
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # of Lightning 2.6 under newer torch, about its own code
    trainer = instantiate(
        cfg.trainer,
        plugins=[WholeCheckpoints()],
        callbacks=[StopTogether(), FiniteGradients(), *(instantiate(node) for node in cfg.callbacks.values() if node)],
        logger=[instantiate(node) for node in cfg.logger.values() if node],
    )
    started = time.perf_counter()
    with interrupt_ends_the_step(trainer):
        trainer.fit(module, datamodule=instantiate(cfg.data), ckpt_path=resume, weights_only=True)
    if resume is not None and trainer.is_global_zero and trainer.checkpoint_callback is not None:
        keep_finished(resume, run, trainer.global_step)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    settings = plain_mapping(cfg.module, resolve=True)
    if "objective" in module.hparams:  # with what the module chose where the configuration says "auto"
        settings["objective"] = module.hparams["objective"]
    record = {
        "command": _command(HydraConfig.get().job.name),
        "experiment": cfg.run_name,
        "seed": cfg.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "resumed": resume is not None,  # True: the seconds count from there
        "hardware": describe_hardware(module.device),
        "hyper_parameters": settings,
        "logged": {name: value if math.isfinite(value) else None for name, value in logged.items()},  # last values
    }
    write_file(run / RECORD, json.dumps(record, indent=2) + "\n")
    log.info("run folder: %s", run)
    return logged


def sample(cfg: DictConfig) -> Path:
    """Write images of a trained model, or its page (`configs/zoo/sample.yaml`); return the run folder."""
    from thermotorch.evaluation.generators import load_generators
    from thermotorch.evaluation.progress import progress_bar
    from thermotorch.evaluation.samples import sample_rows, samples_in_parts, write_samples
    from thermotorch.evaluation.speed.hardware import named_device
    from thermotorch.zoo.rows import by_kind

    run, device = Path(cfg.output_dir), named_device(cfg.device)
    if cfg.format not in ("images", "page"):
        raise unknown_name("format", cfg.format, ("images", "page"))
    model = load_generators([cfg.model])[cfg.model].to(device)
    if cfg.format == "page":
        from thermotorch.page.write import write_page
        from thermotorch.zoo import load_card

        print(write_page(model, load_card(cfg.model)["name"], run / "page.html", seed=cfg.seed))
        return run
    options = plain_mapping(cfg.options, resolve=True)
    started = time.perf_counter()
    common = {"seed": cfg.seed, "batch_size": cfg.batch_size, "options": options}
    if cfg.devices != 1:
        from thermotorch.training.sampling import sample_over_processes

        accelerator = "cpu" if device == "cpu" else "gpu"
        samples = sample_over_processes(
            model, cfg.num_samples, run, devices=cfg.devices, accelerator=accelerator, **common
        )
        written = write_samples(samples, cfg.num_samples, run)
    else:
        with progress_bar(cfg.model) as progress:
            parts = samples_in_parts(model, cfg.num_samples, progress=progress, **common)
            written = write_samples(parts, cfg.num_samples, run)
    seconds = (time.perf_counter() - started) / cfg.num_samples
    rows = sample_rows(written, seconds, cfg.seed, _command("thermotorch-sample"))
    paths = list(written.paths)
    record = {"model": cfg.model, "task": "sample", "seed": cfg.seed, "options": options, **by_kind(rows)}
    write_file(run / "samples.json", json.dumps(record, indent=2) + "\n")
    if cfg.figures:
        from thermotorch.training.tasks import save_figures_of

        paths += save_figures_of(cfg.model, model, run / "figures", seed=cfg.seed, data_dir=cfg.data_dir)
    print(f"{cfg.num_samples} samples of {cfg.model}, seed {cfg.seed}:", *paths, sep="\n")
    return run


def evaluate(cfg: DictConfig) -> Path:
    """Measure one trained model (`configs/zoo/evaluate.yaml`), print its rows, and write them.

    `task` is one of those in `training/tasks.py`; null means the task that the model declares, or else image
    generation.
    """
    from thermotorch.evaluation.progress import progress_bar
    from thermotorch.evaluation.report.markdown import with_unit
    from thermotorch.evaluation.speed.hardware import named_device
    from thermotorch.models.imperfections import realise
    from thermotorch.training import tasks
    from thermotorch.zoo import load_checkpoint
    from thermotorch.zoo.rows import by_kind

    settings = plain_mapping(cfg, resolve=True)
    changes = {key: settings[key] for key in ("config", "imperfections")}
    model = realise(load_checkpoint(cfg.model, config=changes["config"]), **{"seed": 0, **changes["imperfections"]})
    with progress_bar(cfg.model) as bar:
        task, protocol, rows = tasks.run(
            settings,
            model.to(named_device(cfg.device)),
            _command("thermotorch-evaluate"),
            lambda what, done, total: bar(done, total, what),
        )
    record = {"model": cfg.model, "task": task, **changes, "protocol": protocol, **by_kind(rows)}
    for row in rows:
        print(f"{row.metric}: {with_unit(row)} ({row.kind}, {row.num_samples} samples, seed {row.seed})")
    path = write_file(Path(cfg.output_dir, "evaluation.json"), json.dumps(record, indent=2) + "\n")
    print(path)
    return path.parent


class SweepReport(Callback):
    """Write one table of all runs of a multirun into the folder of the sweep, even if some of them failed.

    Hydra calls `on_multirun_end` only if every run succeeded. This callback therefore stores the folder, and `_main`
    calls `write_table`.
    """

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        SweepReport.folder = Path(config.hydra.sweep.dir)

    @classmethod
    def write_table(cls) -> None:
        folder, cls.folder = cls.folder, None
        if folder is None or not any(folder.glob("*/.hydra")):
            return
        from thermotorch.evaluation.report.sweep_report import write_sweep

        text, paths = write_sweep(folder)
        print(text, *paths, sep="\n")


def compare(cfg: DictConfig) -> Path:
    """Compare trained models (`configs/zoo/compare.yaml`) and return the folder of the report.

    The report is written again after each model, so that Ctrl-C keeps finished models.
    """
    from thermotorch.evaluation.cache import ResultCache, results_folder
    from thermotorch.evaluation.compare import compare as run_protocol
    from thermotorch.evaluation.generators import load_generators
    from thermotorch.evaluation.progress import progress_bar
    from thermotorch.evaluation.protocol import Protocol
    from thermotorch.evaluation.quality.feature_space import FeatureSpace
    from thermotorch.evaluation.report import write_report
    from thermotorch.evaluation.speed.hardware import named_device
    from thermotorch.zoo import load_card

    def known(name: str) -> "KnownImages | None":
        from thermotorch.training.data import known_images  # takes seconds, and cached results do not need it

        return known_images(name, cfg.data_dir)

    run, device = Path(cfg.output_dir), named_device(cfg.device)
    settings = plain_mapping(cfg, resolve=True)
    protocol = Protocol.of(settings["protocol"], cfg.num_samples, cfg.seed)
    space = FeatureSpace.from_zoo(cfg.judge)
    models = {name: model.to(device) for name, model in load_generators(settings["models"], space.net).items()}
    cards = {name: load_card(name) for name in models}
    logger = instantiate(node) if (node := cfg.get("logger")) else None
    try:
        with progress_bar("starting") as bar:
            comparison = run_protocol(
                models,
                protocol,
                space.to(device),
                samplers=settings["samplers"],
                known=known,
                cache=ResultCache(results_folder()) if cfg.cache else None,
                weights={name: card["sha256"] for name, card in cards.items()},
                command=_command("thermotorch-compare"),
                progress=lambda what, done, total: bar(done, total, what),
                save=partial(write_report, folder=run, cards=cards),
            )
    except KeyboardInterrupt:
        sys.exit(f"interrupted; the report of the finished models is in {run}")
    for result in comparison.results.values():
        if result.cached:
            print(f"{result.label}: from the cache of {result.date}, {result.hardware}; cache=false measures again")
    if logger is not None:
        print(f"wandb: {logger.log(comparison, run)}")
    print(f"report: {run / 'report.html'}")
    return run


def benchmark(cfg: DictConfig) -> Path:
    """Time the simulator (`configs/zoo/benchmark.yaml`), print the table, and write it into the run folder."""
    from thermotorch.evaluation.speed import benchmark as speed
    from thermotorch.evaluation.speed.hardware import named_device

    run = Path(cfg.output_dir)
    settings = plain_mapping(cfg, resolve=True)
    keys = ("cases", "batch_sizes", "steps", "repeats", "seed", "processor_time", "model")
    result = speed.benchmark(**{key: settings[key] for key in keys}, device=named_device(cfg.device))
    write_file(run / "benchmark.json", json.dumps(result, indent=2) + "\n")
    write_file(run / "benchmark.md", speed.as_markdown(result))
    speed.save_figure(result, run / "benchmark.png")
    print(speed.as_markdown(result))
    return run


def export(cfg: DictConfig) -> Path:
    """Write a machine as a netlist (`configs/zoo/export.yaml`), run it if `run` is set, and return the run folder."""
    from thermotorch.circuit.export import write_netlist
    from thermotorch.zoo import load_checkpoint

    if cfg.format != "spice":
        raise unknown_name("format", cfg.format, ("spice",))
    settings = plain_mapping(cfg, resolve=True)
    options = {key: settings[key] for key in ("label", "inputs", "step", "bits", "metered", "run")}
    scale = {key: settings[key] for key in ("farad", "second", "supply")}
    for path in write_netlist(load_checkpoint(cfg.model), Path(cfg.output_dir), name=cfg.model, scale=scale, **options):
        print(path)
    return Path(cfg.output_dir)


def _command(program: str) -> str:
    """Return the command line for the record: with packages of configurations, without folders of Hydra."""
    overrides = HydraConfig.get().overrides
    searched = [word for word in overrides.hydra if word.startswith("hydra.searchpath=[pkg:")]
    return shlex.join([program, *searched, *overrides.task])


def _refuse_scripts_in_a_sweep(trainer: DictConfig) -> None:
    """Raise a ValueError for strategies that start processes as new commands, each in a run folder of its own."""
    strategy = str(trainer.get("strategy", "auto"))
    launched_as_script = strategy.startswith(("ddp", "fsdp", "deepspeed")) and "spawn" not in strategy
    if launched_as_script and HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ValueError(
            f"trainer.strategy: {strategy!r} starts its processes as new commands and cannot be used with --multirun; "
            f"write trainer.strategy=ddp_spawn, or start one run per configuration"
        )


def _check_choices(argv: list[str], folder: Path) -> None:
    """Raise a ValueError for `group=choice` where the group is a folder of ours without a file for the choice.

    Hydra would print every option that it knows. With other search paths the check is left to Hydra.
    """
    if any("searchpath" in word or word.startswith(("--config", "-c")) for word in argv):
        return
    for word in argv:
        if not (match := re.fullmatch(r"\+{0,2}([\w/]+)(?:@[\w.]+)?=([\w.,/-]+)", word)):
            continue
        group, choices = folder / match[1], match[2].split(",")
        if group.is_dir() and not match[1].startswith("hydra/"):  # plugins add choices there
            known = [str(path.relative_to(group).with_suffix("")) for path in group.rglob("*.yaml")]
            for choice in choices:
                if choice not in known and choice != "null":
                    raise unknown_name(match[1], choice, known)


def _main(task: Callable[[DictConfig], Any], config_name: str, folder: Path = CONFIG_DIR) -> None:
    """Run `task` as a Hydra program.

    A failure leaves a file FAILED with the traceback in the run folder. User errors print one line; with
    HYDRA_FULL_ERROR=1 and in sweeps they print the traceback.
    """

    @wraps(task)
    def run(cfg: DictConfig) -> Any:
        try:
            refuse_unread(cfg, list(HydraConfig.get().overrides.task), folder / f"{config_name}.yaml")
            return task(cfg)
        except Exception as error:
            location = _write_traceback(Path(HydraConfig.get().runtime.output_dir, "FAILED"))
            in_full = HydraConfig.get().mode == RunMode.MULTIRUN or "HYDRA_FULL_ERROR" in os.environ
            if in_full or not isinstance(error, USER_ERRORS):
                raise
            sys.exit(f"error: {error}\n({location})")

    if get_args_parser().parse_known_args()[0].experimental_rerun is not None:
        sys.exit("error: --experimental-rerun: expected settings; a pickled configuration could run any code")
    try:
        _check_choices(sys.argv[1:], folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    try:
        with checked_configurations():
            hydra.main(version_base="1.3", config_path=str(folder), config_name=config_name)(run)()
    finally:
        SweepReport.write_table()


def _write_traceback(path: Path) -> str:
    """Write the traceback of the current error and return its location; a full disk does not replace the error."""
    try:
        return f"where: {write_file(path, traceback.format_exc())}"
    except OSError as error:
        return f"{path} cannot be written: {error}"


def _train_and_score(cfg: DictConfig) -> float | None:
    """Train, and return the quantity that a sweep optimises."""
    metrics = train(cfg)
    if cfg.optimized_metric is None:
        return None
    if cfg.optimized_metric not in metrics:
        raise unknown_name("optimized_metric", cfg.optimized_metric, metrics)
    return metrics[cfg.optimized_metric]


train_main = partial(_main, _train_and_score, "train")
sample_main = partial(_main, sample, "sample", CONFIG_DIR / "zoo")
evaluate_main = partial(_main, evaluate, "evaluate", CONFIG_DIR / "zoo")
compare_main = partial(_main, compare, "compare", CONFIG_DIR / "zoo")
export_main = partial(_main, export, "export", CONFIG_DIR / "zoo")
benchmark_main = partial(_main, benchmark, "benchmark", CONFIG_DIR / "zoo")
