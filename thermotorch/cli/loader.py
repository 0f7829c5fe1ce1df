"""Checks of composed configurations before Hydra acts on them.

Hydra itself builds objects from a configuration (callbacks, launcher, sweeper, logging) and sets the environment of a
run before our programs see it. A file on the search path may use these keys only for harmless values; keys that run
commands or set the environment are accepted on the command line alone.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from thermotorch.cli.targets import check_name, is_class_of, targets
from thermotorch.training.plain import plain_mapping
from thermotorch.zoo.plugins import plugin_packages

PLUGINS_OF_HYDRA = ("hydra._internal.core_plugins.", "hydra_plugins.")
BUILT_BY_HYDRA = ("callbacks", "launcher", "sweeper")
# Keys that reach a shell or the environment of a run.
ONLY_TYPED = (
    "hydra.job.env_set",
    "hydra.job.env_copy",
    "hydra.launcher.setup",
    "hydra.launcher.srun_args",
    "hydra.launcher.additional_parameters",
)
LOG_CLASSES = (
    "logging.Formatter",
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.NullHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.handlers.TimedRotatingFileHandler",
    "logging.handlers.WatchedFileHandler",
)
LOG_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
# A name in the run folder or the working directory. The ending excludes the start-up files of shells.
_LOG_FILE = re.compile(r"(\$\{hydra[.:]runtime\.output_dir\}/)?([\w-][\w.-]*|\$\{hydra[.:]job\.name\}|-)+\.log")


class RefusedConfiguration(CompactHydraException):
    """The error for a configuration that reaches code or the environment. Hydra prints it without a traceback."""


class NamedFiles(ConfigRepository):
    """Hydra's search path, which names a file that cannot be read; parsers know a place in it at best."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        try:
            return super().load_config(config_path)
        except CompactHydraException:
            raise
        except Exception as error:  # of the parsers, which do not know the file
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise RefusedConfiguration(f"configuration {config_path!r} cannot be read: {reason:.300}") from error


class CheckedLoader(ConfigLoaderImpl):
    """A loader of Hydra that returns checked configurations only."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = NamedFiles(config_search_path)

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *arguments: Any, **keywords: Any
    ) -> DictConfig:
        for name in ("oc.create", "oc.decode"):  # they build nodes from strings, which may hide a target
            OmegaConf.register_new_resolver(name, _refused_resolver(name), replace=True)
        config = super().load_configuration(config_name, overrides, *arguments, **keywords)
        check_configuration(config, overrides)
        return config

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        for word in sweep_overrides:  # they may come from a file too (hydra.sweeper.params)
            if word.lstrip("+~").startswith("hydra"):
                raise RefusedConfiguration(f"hydra.sweeper.params: expected settings of the program, found {word!r}")
        return super().load_sweep_config(master_config, sweep_overrides)


@contextmanager
def checked_configurations() -> Iterator[None]:
    """Make Hydra programs that start in the block use `CheckedLoader`."""
    names = vars(hydra._internal.hydra)
    before, names["ConfigLoaderImpl"] = names["ConfigLoaderImpl"], CheckedLoader
    try:
        yield
    finally:
        names["ConfigLoaderImpl"] = before


def check_configuration(config: DictConfig, overrides: list[str]) -> None:
    """Check a composed configuration, and resolve the parts from which Hydra will build objects.

    Args:
        config: the whole configuration, `hydra` included.
        overrides: the words of the command line.

    Raises:
        RefusedConfiguration: a forbidden value; the message names the key, the expected and the actual value.
    """
    raw = plain_mapping(config)
    own = raw.pop("hydra")
    try:
        for path, target in targets(raw):
            if not (isinstance(target, str) and (target == "???" or "${" in target)):  # checked when it is resolved
                check_name(path, target)
        for key in ("job_logging", "hydra_logging"):
            _check_logging(f"hydra.{key}", own[key])
        if not isinstance(own["job"], dict) or not re.fullmatch(
            r"([\w.-]|\$\{[\w.:]+\})*", str(own["job"].get("name"))
        ):
            raise ValueError(f"hydra.job.name: expected letters, digits, '.', '-', '_', found {own['job']!r:.200}")
        _check_typed(own, overrides)
        for key in BUILT_BY_HYDRA:
            _check_built(config, key)
        del own["callbacks"], own["launcher"], own["sweeper"]
        for path, target in targets(own, "hydra"):
            raise ValueError(f"{path}._target_: expected none there, found {target!r:.200}")
    except ValueError as error:
        raise RefusedConfiguration(str(error)) from error


def _check_built(config: DictConfig, key: str) -> None:
    """Check the resolved value of one of `BUILT_BY_HYDRA`, and store it in the configuration."""
    try:
        node = plain_mapping(config.hydra)[key]
        for path, target in targets(node, f"hydra.{key}"):
            if "${" in str(target):
                raise ValueError(f"{path}._target_: expected a name in full, found {target!r:.200}")
        plain = OmegaConf.to_container(config.hydra[key], resolve=True) if config.hydra[key] is not None else None
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"hydra.{key}: expected values known before the program runs; {reason}") from error
    for path, target in targets(plain, f"hydra.{key}"):
        if not _may_be_built(path, target):
            raise ValueError(f"{path}._target_: expected {_EXPECTED[key]}, found {target!r:.200}")
    for path, text in _texts(plain, f"hydra.{key}"):
        if "${" in text:
            raise ValueError(f"{path}: expected no second interpolation, found {text!r:.200}")
        if key == "launcher" and ("\n" in text or "\r" in text):  # a batch script would run it as a command
            raise ValueError(f"{path}: expected one line, found {text!r:.200}")
        if path == "hydra.launcher.pre_dispatch" and not re.fullmatch(r"[\w*+./ ]*", text):  # joblib evaluates it
            raise ValueError(f"{path}: expected a number such as 2*n_jobs, found {text!r:.200}")
    with flag_override(config.hydra, ["struct", "readonly"], [False, False]):
        config.hydra[key] = plain


_EXPECTED = {
    "callbacks": "a callback of Hydra's kind (hydra.experimental.callback.Callback) from thermotorch or a plugin of it",
    "launcher": "a launcher of Hydra or of a plugin of Hydra (hydra_plugins)",
    "sweeper": "a sweeper of Hydra or of a plugin of Hydra (hydra_plugins)",
}


def _may_be_built(path: str, target: Any) -> bool:
    if not isinstance(target, str):
        return False
    if path in ("hydra.launcher", "hydra.sweeper"):
        return target.startswith(PLUGINS_OF_HYDRA)  # Hydra accepts only the plugins among their classes
    if re.fullmatch(r"hydra\.callbacks\.[\w-]+", path):
        packages = ("thermotorch.", *(f"{package}." for package in plugin_packages()))
        if not target.startswith(packages) or not is_class_of(target, packages):
            return False
        return issubclass(hydra.utils.get_object(target), Callback)
    strategies = ("optuna.samplers.", "optuna.pruners.")  # of the sweeper that optimises
    return path.startswith("hydra.sweeper.") and target.startswith(strategies) and is_class_of(target, strategies)


def _check_typed(own: dict, overrides: list[str]) -> None:
    """Raise a ValueError if the value of a key in `ONLY_TYPED` does not come from the command line alone."""
    typed = OmegaConf.create({"hydra": {"job": {}, "launcher": {}}})
    for override in OverridesParser.create().parse_overrides(overrides):
        key = override.key_or_group
        if re.match(r"hydra(\.(job|launcher))?(\.|$)", key) and not override.is_delete() and override.package is None:
            OmegaConf.update(typed, key, override.value(), merge=True, force_add=True)
    for key in ONLY_TYPED:
        actual = _at(own, key)
        expected = OmegaConf.select(typed, key)
        expected = OmegaConf.to_container(expected) if OmegaConf.is_config(expected) else expected
        if key == "hydra.job.env_set" and isinstance(actual, dict):
            copied = own["job"]["env_copy"]  # Hydra added these, which are checked by their own key
            variables = expected if isinstance(expected, dict) else {}
            actual = {name: value for name, value in actual.items() if name not in copied or name in variables}
            expected = {name: str(value) for name, value in variables.items()}
        if actual and actual != expected:
            raise ValueError(f"{key}: expected on the command line only, found {actual!r:.200} in a configuration file")


def _at(own: dict, key: str) -> Any:
    """Return the raw value of `hydra.a.b`; None if it is missing, the string if `hydra.a` is an interpolation."""
    _, group, name = key.split(".")
    return own[group].get(name) if isinstance(own[group], dict) else own[group]


def _check_logging(path: str, node: Any) -> None:
    """Raise a ValueError for a logging configuration that builds or writes anything but logs."""
    if isinstance(node, dict):
        if "()" in node or "." in node:
            raise ValueError(f"{path}: expected class and its settings, found {'()' if '()' in node else '.'!r}")
        for key, value in node.items():
            if key == "class" and value not in LOG_CLASSES:
                raise ValueError(f"{path}.class: expected one of {', '.join(LOG_CLASSES)}, found {value!r:.200}")
            if key == "filename" and not (isinstance(value, str) and _LOG_FILE.fullmatch(value)):
                raise ValueError(
                    f"{path}.filename: expected a name that ends in .log, alone or in ${{hydra.runtime.output_dir}}, "
                    f"found {value!r:.200}"
                )
            if key != "filename":
                _check_logging(f"{path}.{key}", value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_logging(f"{path}[{index}]", value)
    elif isinstance(node, str):
        if "${" in node or (re.match(r"\w+://", node) and node not in LOG_STREAMS):
            raise ValueError(f"{path}: expected a plain value, or one of {', '.join(LOG_STREAMS)}, found {node!r:.200}")


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a plain nested configuration with its path."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(value, f"{path}.{key}")


def _refused_resolver(name: str) -> Any:
    def refused(*_: Any) -> None:
        raise ValueError(f"${{{name}:...}}: expected another resolver, this one turns strings into configuration")

    return refused
