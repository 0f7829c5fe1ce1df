"""Training of a chain: its two ways to run have one law, stages take turns, and a score that is trained on falls."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer

import thermotorch as tt
from thermotorch.objectives import energy_score
from thermotorch.training import chain_module
from thermotorch.training.callbacks import TimeBudget
from thermotorch.training.chain_module import ChainModule
from thermotorch.training.data import Digits8x8Data, MNISTData
from thermotorch.zoo import save_checkpoint

MODEL = {"name": "chain", "config": {"hidden": 24, "angles": [50.0, 25.0], "first": {"t_final": 1.0}}}
ADAM = {"name": "adam", "lr": 2e-3, "betas": [0.9, 0.99]}


def module(**objective) -> ChainModule:
    return ChainModule(MODEL, ADAM, {"first": "generator.mnist_conditional", **objective})


def data(data_dir, batch_size=32) -> MNISTData:
    return MNISTData(data_dir, batch_size=batch_size, images_per_digit=40, download=False)


def fit(trained: ChainModule, images: MNISTData, steps: int, callbacks=()) -> Trainer:
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks),
    )  # fmt: skip
    trainer.fit(trained, images)
    return trainer


@torch.no_grad()
def test_both_ways_to_run_have_one_law(mnist_dir):
    trained, images = module(label_dropout=0.5), data(mnist_dir)
    stage, pictures = trained.model.stages[0], images.train_images()[0]
    told = torch.nn.functional.one_hot(images.train_images()[1], 10).float()
    truth = stage.amplitude * (2 * pictures.flatten(1) - 1)
    torch.manual_seed(0)
    scores, heats = [], []
    for run in (trained._run, trained._run_at_once):
        drawn, heat = run(stage, pictures, told, torch.arange(400), 0.06)
        one, other = drawn.chunk(2)
        scores.append(energy_score(one, other, truth).item())
        heats.append(heat)
    assert scores[0] == pytest.approx(scores[1], rel=0.01)  # its standard error is 0.3 %
    assert_same_mean(*heats)


@torch.no_grad()
def test_the_heat_that_is_priced_is_that_of_a_draw(mnist_dir):
    trained, images = module(label_dropout=0.0), data(mnist_dir)
    stage, (pictures, digits) = trained.model.stages[0], images.train_images()
    told = torch.nn.functional.one_hot(digits, 10).float()
    ids = torch.arange(400)
    _, priced = trained._run(stage, pictures, told, ids, stage.dt)
    noisy, _ = stage.noised(stage.amplitude * (2 * pictures.flatten(1) - 1), seed=5, sample_ids=ids, step=0)
    assert_same_mean(priced, stage.draw(noisy, told, seed=5, sample_ids=ids, start_step=0, noise_step=1).heat)


def assert_same_mean(one: torch.Tensor, other: torch.Tensor) -> None:
    """Require that two means agree within four standard errors, which are smaller than a hundredth of them."""
    error = (one.var() / len(one) + other.var() / len(other)).sqrt().item()
    assert error < 0.01 * one.mean().abs().item()
    assert one.mean().item() == pytest.approx(other.mean().item(), abs=4 * error)


@pytest.mark.parametrize("at_once", [False, True])
def test_heat_that_costs_falls(mnist_dir, at_once):
    """Two trainings that differ in the price alone: 24 updates at a price that outweighs the score."""
    heats = []
    for price in (0.0, 1.0):
        trained = module(stages=[1], at_once=at_once, heat_weight=price)
        images = data(mnist_dir, 16)
        torch.manual_seed(0)
        fit(trained, images, 24)
        pictures, digits = images.train_images()
        told = torch.nn.functional.one_hot(digits, 10).float()
        with torch.no_grad():
            heats.append(trained._run(trained.model.stages[1], pictures, told, torch.arange(400), 0.06)[1].mean())
    assert heats[1] < 0.9 * heats[0]


@pytest.mark.parametrize("at_once", [False, True])
def test_stages_take_turns(mnist_dir, at_once):
    trained = module(at_once=at_once)
    before = [{key: value.clone() for key, value in stage.state_dict().items()} for stage in trained.model.stages]
    fit(trained, data(mnist_dir), 1)
    changed = [
        any(not torch.equal(value, old[key]) for key, value in stage.state_dict().items())
        for stage, old in zip(trained.model.stages, before, strict=True)
    ]
    assert changed == [True, False]


def small_chain(first: dict | None = None, **objective) -> ChainModule:
    config = {"image_shape": [1, 8, 8], "hidden": 4, "angles": [50.0, 25.0], "t_stage": 0.48}
    config["first"] = {"hidden": 4, "t_final": 0.5, "dt": 0.05, **(first or {})}
    return ChainModule({"name": "chain", "config": config}, ADAM, {"features": None, **objective}, seed=3)


@pytest.mark.parametrize("at_once", [False, True])
def test_stages_rest_between_their_turns_and_each_takes_every_time_step(at_once):
    """Adam would move a stage on by its momentum if it kept the gradient of its turn."""

    class Moves(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            self.before = [{key: value.clone() for key, value in s.state_dict().items()} for s in trained.model.stages]

        def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
            for number, stage in enumerate(trained.model.stages):
                if any(not torch.equal(value, self.before[number][key]) for key, value in stage.state_dict().items()):
                    moved.append(number)

    trained, moved, taken = small_chain(time_steps=[0.04, 0.06], at_once=at_once), [], []
    name = "_run_at_once" if at_once else "_run"
    run = getattr(trained, name)
    setattr(
        trained,
        name,
        lambda stage, *rest: taken.append((list(trained.model.stages).index(stage), rest[-1])) or run(stage, *rest),
    )
    fit(trained, Digits8x8Data(batch_size=8), 5, [Moves()])
    assert moved == [0, 1, 0, 1, 0]
    assert taken == [(0, 0.04), (1, 0.04), (0, 0.06), (1, 0.06), (0, 0.04)]


@pytest.mark.parametrize("run", ["_run", "_run_at_once"])
def test_a_fraction_of_the_images_comes_without_its_class_whatever_their_noise(run):
    trained, seen = small_chain({"num_classes": 3}, label_dropout=0.2), []
    given, count = trained._given, 4000
    trained._given = lambda stage, images, xi, labels: seen.append((xi, labels)) or given(stage, images, xi, labels)
    with torch.no_grad():
        getattr(trained, run)(
            trained.model.stage(0), torch.rand(count, 1, 8, 8), torch.ones(count, 3), torch.arange(count), 0.06
        )
    ((xi, labels),) = seen
    told = labels.all(1)
    assert torch.equal(labels, told[:, None].float().expand(-1, 3))
    assert abs(told.float().mean() - 0.8) < 5 * (0.2 * 0.8 / count) ** 0.5
    assert xi[~told].mean(0).abs().max() < 5 / (0.2 * count) ** 0.5


def test_the_score_falls(mnist_dir):
    trained, seen = module(stages=[1], at_once=True), []
    step = trained.training_step
    trained.training_step = lambda *arguments: seen.append(step(*arguments)) or seen[-1]
    fit(trained, data(mnist_dir, 16), 32)
    assert sum(seen[-8:]) < 0.9 * sum(seen[:8])


def test_time_ends_training_with_a_rate_of_nothing(mnist_dir):
    class Rates(Callback):  # as an update finds them, after the budget has set them
        seen: list[float] = []

        def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer = fit(module(at_once=True), data(mnist_dir), 10_000, [TimeBudget(1.0), rates := Rates()])
    assert 1 <= trainer.global_step < 10_000
    assert rates.seen[-1] == pytest.approx(0.0, abs=1e-9)
    assert max(rates.seen) > 0


def test_the_judge_and_unknown_stages_are_refused():
    with pytest.raises(ValueError, match="judges"):
        module(features="feature_net.mnist")
    with pytest.raises(ValueError, match="stages"):
        module(stages=[2])
    with pytest.raises(TypeError, match="unknown"):
        module(steps=3)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_chain_without_classes_is_trained_without_labels(at_once):
    first = {"hidden": 4, "t_final": 0.5, "dt": 0.05}
    config = {"image_shape": [1, 8, 8], "hidden": 4, "angles": [50.0], "first": first, "t_stage": 0.48}
    objective = {"features": None, "at_once": at_once}
    trained = ChainModule({"name": "chain", "config": config}, ADAM, objective)
    images = Digits8x8Data(batch_size=8, digits=[0, 1])
    before = trained.model.stage(0).held_hidden.detach().clone()
    fit(trained, images, 1)
    assert trained.model.num_classes == 0
    assert not torch.equal(trained.model.stage(0).held_hidden, before)


def test_a_chain_starts_from_the_stages_of_a_checkpoint_and_its_first_machine_stays(tmp_path):
    config = {"image_shape": [1, 2, 2], "hidden": 3, "angles": [50.0], "first": {"hidden": 4}, "t_stage": 0.48}
    spec = {"name": "chain", "config": config}
    trained = ChainModule(spec, ADAM, {"features": None}, seed=1).model
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_()
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    path, _ = save_checkpoint(trained, "chain.small", tmp_path, fields)
    module = ChainModule(spec, ADAM, {"features": None, "start_from": str(path)}, seed=2)
    started, (group,) = module.model, module.configure_optimizers()["optimizer"].param_groups
    for name, value in trained.state_dict().items():
        assert torch.equal(started.state_dict()[name], value), name
    free = {name for name, parameter in started.named_parameters() if parameter.requires_grad}
    assert free and not any(name.startswith("first.") for name in free)
    assert set(map(id, group["params"])) == {id(value) for value in started.stages.parameters() if value.numel()}


def test_a_stage_runs_once_though_its_read_out_is_recorded_apart():
    """The two pieces of a run have the noise of a whole one; the two samples of an image do not share theirs."""
    first = {"hidden": 4, "t_final": 0.5, "dt": 0.05}
    config = {"image_shape": [1, 2, 2], "hidden": 3, "angles": [50.0], "first": first, "t_stage": 0.48}
    trained = ChainModule({"name": "chain", "config": config}, ADAM, {"features": None}, seed=2)
    stage, images, ids = trained.model.stage(0), torch.rand(5, 1, 2, 2), torch.arange(5)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        run = chain_module.simulate
        patch.setattr(
            chain_module, "simulate",
            lambda potential, state, **given: seen.append((state, given)) or run(potential, state, **given),
        )  # fmt: skip
        visible, _ = trained._run(stage, images, torch.zeros(5, 1), ids, 0.04)
    (state, start), (_, end) = seen
    assert start["seed"] == end["seed"] == 2 + (1 << 33) and len(set(start["sample_ids"].tolist())) == 10
    given = {key: value for key, value in start.items() if key not in ("steps", "record")}
    whole = tt.simulate(stage.potential, state, steps=start["steps"] + end["steps"], record=1, **given)
    torch.testing.assert_close(visible, whole.recorded[-end["steps"] :, :, stage.visible].mean(0))
    assert not torch.allclose(*visible.chunk(2))


def test_a_chain_that_is_told_nothing_starts_from_the_stages_of_one_that_is_told(monkeypatch):
    config = {"hidden": 8, "angles": [60.0, 40.0, 20.0], "first": {"hidden": 512, "num_classes": 10, "t_final": 1.0}}
    told = tt.create_model("chain", **config)
    with torch.no_grad():
        for number, value in enumerate(told.parameters()):
            value.fill_(number)
    load = chain_module.load_checkpoint
    monkeypatch.setattr(
        chain_module, "load_checkpoint", lambda name, **any: told if name == "told" else load(name, **any)
    )
    model = {"name": "chain", "config": {"hidden": 8, "angles": [20.0, 60.0], "first": {"t_final": 1.0}}}
    trained = ChainModule(model, ADAM, {"first": "generator.mnist_unlabelled", "start_from": "told"})
    for mine, source in zip(trained.model.stages, (told.stages[2], told.stages[0]), strict=True):
        assert len(mine.label_hidden) == 0
        for name, value in mine.named_parameters():
            assert name == "label_hidden" or torch.equal(value, source.get_parameter(name)), name
    first = load("generator.mnist_unlabelled").state_dict()
    assert all(torch.equal(value, first[name]) for name, value in trained.model.first.state_dict().items())

    drawing = told.with_die()
    monkeypatch.setattr(chain_module, "load_checkpoint", lambda name, **any: drawing)
    held = ChainModule({"name": "chain", "config": config}, ADAM, {"start_from": "drawing"}).model.first
    assert held.die is None
    for name, value in told.first.potential.couplings.named_parameters():
        torch.testing.assert_close(held.potential.couplings.get_parameter(name), value, rtol=1e-5, atol=1e-5)

    untold = tt.create_model("chain", **config | {"first": {"hidden": 512, "t_final": 1.0}})
    monkeypatch.setattr(chain_module, "load_checkpoint", lambda name, **any: untold)
    with pytest.raises(ValueError, match="told one of 10 classes, as this one is, found 0 classes in untold"):
        ChainModule({"name": "chain", "config": config}, ADAM, {"start_from": "untold"})

    monkeypatch.setattr(chain_module, "load_checkpoint", lambda name, **any: told if name == "told" else load(name))
    model["config"]["angles"] = [20.0, 50.0]
    with pytest.raises(ValueError, match=r"objective.start_from: expected a chain with stages of \[50.0\] degrees"):
        ChainModule(model, ADAM, {"first": "generator.mnist_unlabelled", "start_from": "told"})


def test_a_checkpoint_that_is_no_chain_is_refused_as_a_beginning():
    config = {"image_shape": [1, 8, 8], "hidden": 4, "angles": [50.0], "t_stage": 0.48}
    with pytest.raises(ValueError, match="expected architecture 'chain', found 'generator'"):
        ChainModule(
            {"name": "chain", "config": config}, ADAM, {"features": None, "start_from": "generator.three_digits"}
        )


def test_what_is_held_is_the_image_turned_by_the_angle_of_its_noise():
    """cos(50 degrees) of the image between -a and a, sin(50 degrees) of a of the normals, for each of two samples."""
    trained = small_chain({"num_classes": 3})
    stage, images = trained.model.stage(0), torch.rand(2, 1, 8, 8)
    xi, labels = torch.randn(2, 64), torch.eye(3)[:2]
    torch.nn.init.normal_(stage.label_hidden)
    held, force = trained._given(stage, images, xi, labels)
    angle = torch.tensor(50.0).deg2rad()
    expected = 0.75 * (angle.cos() * (2 * images.flatten(1) - 1) + angle.sin() * xi)
    torch.testing.assert_close(held, torch.cat([expected, expected]))
    torch.testing.assert_close(force, stage.force(held, torch.cat([labels, labels])))


def test_stages_begin_with_normal_couplings_of_the_seed_and_held_units_that_pull():
    made = [ChainModule(MODEL, ADAM, {"initial_std": 0.3, "features": None}, seed=seed) for seed in (1, 1, 2)]
    for number in range(2):
        one, same, other = (module.model.stage(number) for module in made)
        for bonds in (one.held_hidden, one.potential.couplings.block("visible", "hidden")):
            assert abs(bonds.std() / 0.3 - 1) < 5 / (2 * bonds.numel()) ** 0.5
        assert torch.equal(one.held_hidden, same.held_hidden) and not torch.equal(one.held_hidden, other.held_hidden)
        assert (one.held_visible == -0.4).all(), "towards the noisy image"
