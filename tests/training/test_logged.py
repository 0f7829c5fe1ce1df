"""Values that training logs are what their names say, computed anew from the parts of the module."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from tests.training.fitting import diffusion_module
from thermotorch.objectives import reverse_action
from thermotorch.training.chain_module import ChainModule
from thermotorch.training.classifier_module import ClassifierModule, EndToEndModule
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.generator_module import ClosedFormModule, OnlineModule, TrajectoryModule
from thermotorch.training.genetic_module import GeneticClassifierModule
from thermotorch.training.module import VALIDATION_SEEDS, TrainingModule
from thermotorch.training.observation_module import ObservationTimeModule
from thermotorch.training.reference_module import BoltzmannModule
from thermotorch.training.teacher_student_module import TeacherStudentModule

SGD = {"name": "sgd", "lr": 1.0}
SMALL = {"image_shape": [1, 8, 8], "hidden": 6, "dt": 0.02}
GENERATOR = {"name": "generator", "config": {"image_shape": [1, 8, 8], "hidden": 4, "t_final": 0.1, "dt": 5e-3}}
SIZE = 8


def logging(module: TrainingModule) -> tuple[TrainingModule, dict]:
    """Return the module with data and a trainer that does nothing, and the dict that receives what it logs."""
    data, logged = Digits8x8Data(batch_size=SIZE, digits=[0, 1], images_per_digit=20), {}
    data.setup()
    optimizer = SimpleNamespace(param_groups=[{"lr": 1.0}])
    module._trainer = SimpleNamespace(datamodule=data, world_size=1, optimizers=[optimizer], should_stop=False)
    module.log = lambda name, value, **options: logged.update({name: value})
    module.log_dict = lambda values, **options: logged.update(values)
    module.count_update = lambda: None
    torch.manual_seed(0)
    return module, logged


def batch_of(module: TrainingModule, step: int = 2) -> dict:
    return module.trainer.datamodule.train_dataloader().batch(step)


@torch.no_grad()
def scattered(module: TrainingModule, std: float = 0.3) -> None:
    for parameter in module.model.parameters():
        parameter.normal_(std=std)


def test_heat_is_that_of_the_batch_in_kT_and_the_loss_comes_without_its_price():
    config = {**SMALL, "temperature": 0.25}
    objective = {"heat": 0.01, "label_smoothing": 0.2}
    module, logged = logging(EndToEndModule({"name": "classifier", "config": config}, SGD, objective, seed=3))
    batch = batch_of(module)
    total = module.training_step(batch, 0)
    run = module.model.run(batch["image"], seed=3, sample_ids=2 * SIZE + torch.arange(SIZE))
    heat = run.heat.mean() / 0.25
    loss = F.cross_entropy(module.model.sharpness * module.model.read(run), batch["label"], label_smoothing=0.2)
    torch.testing.assert_close(logged, {"train/loss": loss, "train/heat_kT": heat})
    torch.testing.assert_close(total, loss + 0.01 * heat)


@pytest.mark.parametrize(
    "kind",
    [ClassifierModule, EndToEndModule, TeacherStudentModule, GeneticClassifierModule],
    ids=lambda kind: kind.__name__,
)
def test_scores_of_validation_are_those_of_its_images_in_noise_of_their_own(kind):
    module, logged = logging(kind({"name": "classifier", "config": SMALL}, SGD, seed=3))
    scattered(module)
    batch = {**batch_of(module), "index": torch.arange(100, 100 + SIZE)}
    logits = module.model(batch["image"], 3 + VALIDATION_SEEDS, batch["index"])
    batch["label"][:3] = logits.argmax(1)[:3]  # some are right, of a teacher others
    if kind is TeacherStudentModule:
        taught = module.teacher(module.model.features(batch["image"])).argmax(1)
        batch["label"][3:5] = taught[3:5]
    module.validation_step(batch, 0)
    right = logits.argmax(1) == batch["label"]
    assert 0 < right.float().mean() < 1
    expected = {"val/loss": F.cross_entropy(logits, batch["label"]), "val/accuracy": right.float().mean()}
    if kind is TeacherStudentModule:
        expected["val/teacher_accuracy"] = (taught == batch["label"]).float().mean()
    if kind is GeneticClassifierModule:
        del expected["val/loss"]
    torch.testing.assert_close(logged, expected)


def test_each_phase_of_a_student_logs_what_it_descends():
    for name, steps in (("train/teacher_loss", 3), ("train/action", 2)):
        config = {"teacher_steps": steps}
        module, logged = logging(TeacherStudentModule({"name": "classifier", "config": SMALL}, SGD, config))
        loss = module.training_step(batch_of(module), 0)
        features = module.model.features(batch_of(module)["image"])
        expected = F.cross_entropy(module.teacher(features), batch_of(module)["label"])
        if name == "train/action":
            expected = module.action(features)
        torch.testing.assert_close([loss, logged], [expected, {name: expected}])


def test_the_loss_of_a_population_is_that_of_its_best_member():
    module, logged = logging(GeneticClassifierModule({"name": "classifier", "config": SMALL}, SGD, {"population": 10}))
    losses = module.losses(module.population, batch_of(module))
    module.training_step(batch_of(module), 0)
    torch.testing.assert_close(logged, {"train/loss": losses.min()})


def test_the_loss_of_a_diffusion_model_is_the_one_it_descends_and_that_of_the_validation_images():
    module, logged = logging(diffusion_module())
    for name, step in (("train", module.training_step), ("val", module.validation_step)):
        logged.clear()
        step(batch := batch_of(module), 0)
        expected = module.model.loss(batch["image"], *module.noise(batch), module.labels(batch))
        torch.testing.assert_close(logged, {f"{name}/loss": expected})


def test_free_energies_are_those_of_images_less_those_of_chains():
    model = {"name": "rbm", "config": {"image_shape": [1, 8, 8], "hidden": 5}}
    module, logged = logging(BoltzmannModule(model, SGD, {"chains": 6}, seed=2))
    scattered(module)
    module.training_step(batch := batch_of(module), 0)
    module.chains.zero_()
    chains = module.advance(2, SIZE)
    expected = module.model.free_energy(module.binary(batch)).mean() - module.model.free_energy(chains).mean()
    torch.testing.assert_close(logged, {"train/free_energy_difference": expected})


def test_the_action_is_per_step_of_the_paths_coarse_or_not():
    """The loss alone is divided, so that actions of both can be compared with half the number of units."""
    for coarse in (1, 4):
        module, logged = logging(TrajectoryModule(GENERATOR, SGD, {"coarse": coarse}))
        scattered(module)
        loss = module.training_step(batch_of(module), 0)
        noising = module.noising.coarser(coarse) if coarse > 1 else module.noising
        path = module.training_paths(batch_of(module), noising)
        action = reverse_action(module.model.potential, path, dt=5e-3 * coarse, temperature=noising.temperature)
        torch.testing.assert_close([logged, loss], [{"train/action": action.mean()}, action.mean() / coarse])


def test_the_action_of_the_online_rule_is_that_before_each_update():
    """At a vanishing rate nothing moves between the updates."""
    module, logged = logging(OnlineModule(GENERATOR, SGD))
    scattered(module)
    module.trainer.optimizers[0].param_groups[0]["lr"] = 1e-12
    path = module.training_paths(batch_of(module))
    module.training_step(batch_of(module), 0)
    torch.testing.assert_close(
        logged, {"train/action": reverse_action(module.model.potential, path, **module.path).mean()}
    )


def test_the_fit_logs_the_actions_of_its_own_paths_the_held_out_and_the_validation_paths():
    module, logged = logging(ClosedFormModule(GENERATOR, SGD, {"batches": 3, "held_out_every": 3}, seed=3))
    for step in range(3):
        module.training_step(batch_of(module, step), 0)
    paths = [module.training_paths(batch_of(module, step)) for step in range(3)]
    fitted, held_out = (
        reverse_action(module.model.potential, torch.cat(part, 1), **module.path).mean().item()
        for part in (paths[:2], paths[2:])
    )
    assert logged["train/action"] == pytest.approx(fitted, rel=1e-4) and abs(fitted - held_out) > 0.1
    assert logged["train/held_out_action"] == pytest.approx(held_out, rel=1e-4)
    torch.testing.assert_close(logged["val/action"], module.validation_action())
    assert logged["train/ridge"] in (30.0, 10.0, 3.0, 1.0, 0.3)


@pytest.mark.parametrize("step", [3, 4])
def test_a_stage_of_a_chain_logs_the_score_with_the_price_of_its_heat(step):
    """Under the number of the stage whose turn it is, of those that are trained."""
    first = {"hidden": 4, "t_final": 0.5, "dt": 0.05}
    config = {"image_shape": [1, 8, 8], "hidden": 4, "angles": [50.0, 40.0, 20.0], "first": first, "t_stage": 0.48}
    objective = {"features": None, "stages": [1, 2], "time_steps": [0.04], "at_once": False}
    values = []
    for price in (0.0, 0.5):
        trained = ChainModule({"name": "chain", "config": config}, SGD, {**objective, "heat_weight": price})
        module, logged = logging(trained)
        batch = batch_of(module, step)
        module.training_step(batch, 0)
        (name,) = logged
        assert name == f"train/stage{2 if step % 2 else 1}"
        values.append(logged[name])
    stage = module.model.stage(int(name[-1]))
    ids = step * SIZE + torch.arange(SIZE)
    _, heat = module._run(stage, batch["image"], batch["image"].new_zeros(SIZE, 1), ids, 0.04)
    # A difference of two float32 scores, of which it is a small part.
    torch.testing.assert_close(values[1] - values[0], 0.5 * heat.mean() / stage.temperature, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [1, 2])
def test_a_machine_logs_the_contrast_first_and_then_the_distance(step):
    objective = {"contrastive_steps": 2, "features": "feature_net.training"}
    config = {"image_shape": [1, 28, 28], "hidden": 3, "t_final": 0.02, "dt": 0.01}
    module, logged = logging(ObservationTimeModule({"name": "generator", "config": config}, SGD, objective))
    module.contrast, module.distance = lambda batch: torch.tensor(1.0), lambda batch: torch.tensor(2.0)
    loss = module.training_step({"slot": torch.arange(3), "step": step}, 0)
    assert logged == ({"train/contrast": 1.0} if step < 2 else {"train/distance": 2.0})
    assert loss == step


@pytest.mark.parametrize(
    ("kind", "model", "objective"),
    [
        (ClassifierModule, "classifier", {}),
        (EndToEndModule, "classifier", {}),
        (TeacherStudentModule, "classifier", {}),
        (TrajectoryModule, GENERATOR, {}),
        (ObservationTimeModule, GENERATOR, {}),
        (type(diffusion_module()), diffusion_module().hparams["model"], {}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_processes_share_is_logged_as_their_mean_over_all_images(kind, model, objective):
    """A batch of another size than the others counts by its size; who watches the bar sees the loss."""
    module, _ = logging(kind({"name": model, "config": SMALL} if model == "classifier" else model, SGD, objective))
    batch, seen = {**batch_of(module), "index": torch.arange(SIZE)}, []
    part = {name: value[:5] if torch.is_tensor(value) else value for name, value in batch.items()}
    module.log = module.log_dict = lambda what, *value, **options: seen.append(options)
    module.training_step(part, 0)
    if kind not in (TrajectoryModule, ObservationTimeModule):
        module.validation_step(part, 0)
    extra = {} if kind is TeacherStudentModule else {"prog_bar": True}
    assert len(seen) >= 1 and all(
        {"sync_dist": True, "batch_size": 5, **extra}.items() <= each.items() for each in seen
    )


def test_rules_of_one_process_refuse_several():
    """A population, a path after another and Markov chains that persist."""
    rbm = {"name": "rbm", "config": {"image_shape": [1, 8, 8], "hidden": 5}}
    for kind, model, words in (
        (GeneticClassifierModule, {"name": "classifier", "config": SMALL}, "a population is one simulation"),
        (OnlineModule, GENERATOR, "the online rule is sequential"),
        (BoltzmannModule, rbm, "the chains persist in one process"),
    ):
        module, _ = logging(kind(model, SGD, seed=1))
        module.trainer.world_size = 2
        with pytest.raises(ValueError, match=words):
            module.on_fit_start() if kind is BoltzmannModule else module.training_step(batch_of(module), 0)


def test_a_processor_keeps_the_precision_of_its_products_and_takes_no_graph_unless_asked():
    for at_once in (None, False, True):
        config = {"image_shape": [1, 8, 8], "hidden": 3, "t_final": 0.02, "dt": 0.01}
        module = ObservationTimeModule({"name": "generator", "config": config}, SGD, {"at_once": at_once})
        module.on_fit_start()
        assert module.wants_graph() is bool(at_once)
        assert torch.get_float32_matmul_precision() == "highest"
