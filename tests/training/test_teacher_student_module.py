import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F

from tests.training.fitting import fit, same
from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.objectives import forward_action, guide_path
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.teacher_student_module import TeacherStudentModule


def module(seed: int = 0, **objective) -> TeacherStudentModule:
    config = {"image_shape": [1, 8, 8], "hidden": 24, "dt": 5e-3, "pixel_mean": 0.305, "pixel_std": 0.376}
    settings = {"teacher_steps": 150, "teacher_hidden": [12, 12], "dt": 0.01, **objective}
    adam = {"name": "adam", "lr": 2e-2}
    return TeacherStudentModule({"name": "classifier", "config": config}, adam, settings, seed)


def test_a_student_that_was_never_simulated_reads_the_real_8x8_digits():
    student, data = module(), Digits8x8Data(batch_size=100)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=500,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(student, data)
    (scores,) = trainer.test(student, data, verbose=False)
    assert scores["test/teacher_accuracy"] > 0.88
    assert scores["test/accuracy"] > 0.75


def test_the_teacher_learns_first_and_then_stays(tmp_path):
    fit(module(teacher_steps=3), tmp_path, 6)
    early, late = (torch.load(tmp_path / f"{step}.ckpt", weights_only=True)["state_dict"] for step in (3, 6))
    assert all(torch.equal(early[name], late[name]) for name in early if name.startswith("teacher."))
    assert early["model.layer.input.weight"].abs().sum() == 0
    assert late["model.layer.input.weight"].abs().sum() > 0


def test_the_action_is_that_of_the_paths_the_teacher_asks_for():
    student = module(guide=50.0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.normal_(std=0.1)
    features, teacher, layer = torch.randn(5, 64), student.teacher, student.model.layer
    first = neuron_activation(teacher.layers[0](features), temperature=0.1)
    second = neuron_activation(teacher.layers[1](first), temperature=0.1)
    classes = F.softmax(teacher.layers[2](second), -1)
    path = guide_path(50.0 * torch.cat([first, second, 2 * classes - 1], 1), steps=20, dt=0.01)
    action = forward_action(layer.potential, path, dt=0.01, temperature=1.0, drive=features @ layer.input.weight.T)
    torch.testing.assert_close(student.action(features), action.mean())


def test_a_run_resumed_in_the_middle_of_the_student_equals_an_uninterrupted_one(tmp_path):
    fit(module(teacher_steps=2), tmp_path / "whole", 6)
    fit(module(teacher_steps=2), tmp_path / "resumed", 6, ckpt_path=tmp_path / "whole" / "4.ckpt")
    whole, resumed = (torch.load(tmp_path / run / "6.ckpt", weights_only=True) for run in ("whole", "resumed"))
    assert same(whole["state_dict"], resumed["state_dict"])


def test_a_teacher_of_another_size_is_refused():
    with pytest.raises(
        ValueError, match="teacher_hidden: expected widths that add up to the student's 24 hidden units"
    ):
        module(teacher_hidden=[12, 10])


def test_the_teacher_has_two_halves_of_the_hidden_units_unless_told_otherwise():
    assert [module(teacher_hidden=None).teacher.layers[k].out_features for k in range(2)] == [12, 12]


def test_the_teacher_begins_with_the_weights_of_the_seed():
    one, same_seed, other = (module(seed=seed).teacher.layers[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, same_seed) and not torch.equal(one, other)


def test_each_phase_logs_its_own_loss(tmp_path):
    trainer = fit(module(teacher_steps=3), tmp_path / "teacher", 3)
    assert 0 < trainer.logged_metrics["train/teacher_loss"] and "train/action" not in trainer.logged_metrics
    trainer = fit(module(teacher_steps=0), tmp_path / "student", 3)
    assert 0 < trainer.logged_metrics["train/action"] and "train/teacher_loss" not in trainer.logged_metrics
