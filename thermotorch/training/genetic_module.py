"""Training by a genetic algorithm: one update is one generation, whose members all run in the same noise."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.models.classifier.layered import LayeredComputer
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.population import run_population
from thermotorch.objectives.genetic import Population, best, first_generation, next_generation
from thermotorch.training.cosine_module import CosineTask
from thermotorch.training.module import VALIDATION_SEEDS, TrainingModule, blocks_of


class _GeneticModule(TrainingModule):
    """Base of the tasks: a population, its generations, and the best member of the last generation in `model`.

    Args:
        optimizer: only counts the generations.
        objective: `population`, `keep`, `strength` of mutations and `std` of the first generation, see
            `objectives.genetic`; `half_life`, the number of generations in which the strength halves, None for a
            constant strength; and the settings of the task.
    """

    manual = True
    defaults = {"population": 50, "keep": 5, "strength": 0.1, "half_life": None, "std": 0.1}

    def prepare(self) -> None:
        size, parameters = self.settings["population"], dict(self.model.named_parameters())
        self.names = list(parameters)
        first = first_generation(parameters, size, std=self.settings["std"], seed=self.seed)
        for number, values in enumerate(first.values()):  # buffers, so that an interrupted run resumes
            self.register_buffer(f"population_{number}", values.detach())

    @property
    def population(self) -> Population:
        """The parameters by name, [member, ...]."""
        return {name: getattr(self, f"population_{number}") for number, name in enumerate(self.names)}

    def losses(self, population: Population, batch: dict) -> Tensor:
        """Return the loss of every member on a batch, [member]."""
        raise NotImplementedError

    def fan_in(self) -> Mapping[str, float | Tensor]:
        """Return the number of connections into a unit by parameter, which scales its mutations."""
        raise NotImplementedError

    def strength(self, generation: int) -> float:
        """Return the strength of the mutations at the end of a generation."""
        half_life = self.settings["half_life"]
        return self.settings["strength"] * (0.5 ** (generation / half_life) if half_life else 1.0)

    @torch.no_grad()
    def training_step(self, batch: dict, batch_idx: int) -> None:
        if self.trainer.world_size > 1:
            raise ValueError("a population is one simulation and cannot be shared by processes; use trainer=cpu")
        population = self.population
        losses = self.losses(population, batch)
        winner = int(best(losses, 1))
        for name, parameter in self.model.named_parameters():
            parameter.copy_(population[name][winner])
        self.log("train/loss", losses[winner], prog_bar=True, batch_size=1)
        offspring = next_generation(
            population, losses, self.fan_in(), keep=self.settings["keep"], strength=self.strength(batch["step"]),
            seed=self.seed, generation=batch["step"] + 1,
        )  # fmt: skip
        for number, values in enumerate(offspring.values()):
            getattr(self, f"population_{number}").copy_(values)
        self.count_update()


class GeneticCosineModule(_GeneticModule):
    """Train the layered computer as Whitelam and Casert did.

    Args:
        objective: the shared settings, those of `CosineTask`, and `mirrored`: True for antithetic noise, in which half
            of the samples run in the negated noise of the other half.
    """

    kind = LayeredComputer
    model: LayeredComputer
    defaults = {**_GeneticModule.defaults, **CosineTask.defaults, "mirrored": True}

    def prepare(self) -> None:
        super().prepare()
        if self.settings["mirrored"] and self.settings["samples"] % 2:
            raise ValueError(f"samples: expected an even number of mirrored runs, found {self.settings['samples']}")
        self.task = CosineTask(self.model, self.settings, self.seed)

    def fan_in(self) -> Mapping[str, float | Tensor]:
        return self.model.fan_in()

    def losses(self, population: Population, batch: dict) -> Tensor:
        self.log("train/runs", float((batch["step"] + 1) * self.task.runs * self.settings["population"]), batch_size=1)
        return self.task.errors(population, batch["step"])

    def on_train_batch_end(self, outputs: object, batch: dict, batch_idx: int) -> None:
        self.task.validate(self, batch["step"])


class GeneticClassifierModule(_GeneticModule):
    """Train a classifier on the cross-entropy of one run on each image of the batch, the same for all members.

    Args:
        objective: the shared settings, `dt` and `integrator` of the training runs, and `bias_fan_in`, the fan-in of the
            biases: a bias acts on every image alike, so that mutations that suit the weights may be too strong for it.
    """

    kind = ThermodynamicClassifier
    model: ThermodynamicClassifier
    defaults = {**_GeneticModule.defaults, "dt": None, "integrator": "euler_maruyama", "bias_fan_in": 1.0}

    def fan_in(self) -> Mapping[str, float | Tensor]:
        """Count the pixels for a hidden unit, and pixels and hidden units for an output unit."""
        layer = self.model.layer
        pixels, everything = layer.in_features, layer.in_features + layer.hidden
        blocks = {"hidden-hidden": pixels, "hidden-output": (pixels + everything) / 2, "output-output": everything}
        entering = torch.full((layer.potential.num_units, 1), float(pixels))
        entering[blocks_of(layer.potential).slices["output"]] = everything
        return {
            **{f"layer.potential.couplings.blocks.{name}": float(count) for name, count in blocks.items()},
            "layer.input.weight": entering,
            "layer.potential.bias": float(self.settings["bias_fan_in"]),
        }

    def losses(self, population: Population, batch: dict) -> Tensor:
        layer, dt = self.model.layer, self.settings["dt"] or self.model.layer.dt
        force = torch.einsum("bf,puf->bpu", self.model.features(batch["image"]), population["layer.input.weight"])
        prefix = "layer.potential."
        members = {name.removeprefix(prefix): v for name, v in population.items() if name.startswith(prefix)}
        steps = whole_steps("t_final", layer.t_final, dt)
        state = run_population(
            layer.potential, members, force, steps=steps, dt=layer.t_final / steps, temperature=layer.temperature,
            seed=self.seed, sample_ids=batch["step"] * len(force) + batch["slot"],
            integrator=self.settings["integrator"],
        )  # fmt: skip
        logits = self.model.sharpness * state[..., blocks_of(layer.potential).slices["output"]]
        labels = batch["label"].repeat_interleave(logits.shape[1])
        return F.cross_entropy(logits.flatten(0, 1), labels, reduction="none").view(logits.shape[:2]).mean(0)

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        logits = self.model(batch["image"], self.seed + VALIDATION_SEEDS, batch["index"])
        right = (logits.argmax(1) == batch["label"]).float().mean()
        self.log("val/accuracy", right, prog_bar=True, batch_size=len(logits))
