"""Training of a digital teacher, and then of a thermodynamic student on paths that the teacher defines."""

import torch
from torch import Tensor
from torch.nn import functional as F

from thermotorch.arguments import whole_steps
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.classifier.neuron_net import NeuronNet
from thermotorch.objectives import forward_action, guide_path
from thermotorch.training.classifier_module import ClassifierModule
from thermotorch.training.module import seeded


class TeacherStudentModule(ClassifierModule):
    """Train by Whitelam's gradient descent on the forward action. The student starts from zero and is never simulated.

    The first `teacher_steps` updates train a digital network by cross-entropy. All later updates keep it fixed and make
    its paths likely under the student: on these paths unit i, without couplings and noise, is pushed by `guide` times
    activation i of the teacher (hidden layers in order, then 2 softmax - 1).

    Args:
        objective: in addition to the jitter

            - teacher_steps: number of updates of the teacher.
            - teacher_hidden: widths of its hidden layers, which add up to the student's hidden units; null for two
              equal ones.
            - guide: force per activation. Below about 10 it is lost in the noise of kT = 1.
            - dt: time step of the guide paths.

    Raises:
        ValueError: a teacher whose number of hidden units differs from the student's.

    Source: Whitelam, PNAS 123, e2528413123 (2026); the factor 100 is of a re-implementation.
    """

    kind = ThermodynamicClassifier
    model: ThermodynamicClassifier
    defaults = {
        **ClassifierModule.defaults, "teacher_steps": 4000, "teacher_hidden": None, "guide": 100.0, "dt": 5e-3,
    }  # fmt: skip

    def prepare(self) -> None:
        super().prepare()
        layer = self.model.layer
        half = layer.hidden // 2
        widths = list(self.settings["teacher_hidden"] or (half, layer.hidden - half))
        if sum(widths) != layer.hidden:
            raise ValueError(
                f"teacher_hidden: expected widths that add up to the student's {layer.hidden} hidden units, "
                f"found {widths}"
            )
        with seeded(self.seed):
            self.teacher = NeuronNet(layer.in_features, widths, layer.out_features)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.zero_()

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        features = self.model.features(self.augmented(batch))
        if batch["step"] < self.settings["teacher_steps"]:
            name, loss = "train/teacher_loss", F.cross_entropy(self.teacher(features), batch["label"])
        else:
            name, loss = "train/action", self.action(features)
        self.log(name, loss, prog_bar=True, sync_dist=True, batch_size=len(batch["label"]))
        return loss

    def action(self, features: Tensor) -> Tensor:
        """Return the mean forward action per step of the teacher's paths under the student."""
        layer, dt = self.model.layer, self.settings["dt"]
        with torch.no_grad():
            force = self.settings["guide"] * self.teacher.wanted(features)
        j2, j4 = self.model.config["j2"], self.model.config["j4"]
        path = guide_path(force, steps=whole_steps("t_final", layer.t_final, dt), dt=dt, j2=j2, j4=j4)
        drive = layer.input(features)
        return forward_action(layer.potential, path, dt=dt, temperature=layer.temperature, drive=drive).mean()

    def _score(self, batch: dict, stage: str) -> None:
        super()._score(batch, stage)
        right = self.teacher(self.model.features(batch["image"])).argmax(1) == batch["label"]
        self.log(f"{stage}/teacher_accuracy", right.float().mean(), sync_dist=True, batch_size=len(right))
