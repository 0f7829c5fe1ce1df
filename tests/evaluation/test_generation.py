from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import Digital, WatchedDigital
from thermotorch.evaluation import Protocol, generation
from thermotorch.evaluation.entries import Entry
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.machine import ThermodynamicGenerator


def test_many_samples_are_those_of_one_call_and_keep_the_frames_of_the_first(monkeypatch):
    """In calls of whole batches; the frames on the way, six times the samples, would otherwise fill the memory."""
    model = ThermodynamicGenerator(image_shape=[1, 4, 4], hidden=3, t_final=0.08, num_classes=2, dt=0.02).eval()
    entry = Entry("machine", "machine", model, Protocol(num_samples=23, batch_size=4, kernel_subset_size=10))
    whole, seen = generation.generate(entry), []
    monkeypatch.setattr(generation, "_AT_ONCE", 10)
    parts = generation.generate(entry, progress=lambda what, done, total: seen.append((what, done, total)))
    assert torch.equal(parts.images, whole.images) and torch.equal(parts.labels, whole.labels)
    assert torch.equal(parts.heat, whole.heat) and torch.equal(parts.work, whole.work)
    assert parts.times == whole.times and len(parts.times) > 1
    assert torch.equal(parts.frames, whole.frames[:, :8])
    assert [done for what, done, _ in seen if what.endswith("generating")][-3:] == [16, 20, 23]
    rows = {row.metric: row for row in parts.rows}
    assert rows["speed"].value == pytest.approx(1 / rows["time"].value) and rows["speed"].num_samples == 23
    assert "the first 10 of them" in next(row.note for row in parts.rows if row.metric == "time")


def test_the_film_of_a_chain_shows_the_end_of_every_phase():
    """Though some are so short beside others that evenly spaced times would miss them."""
    first = {"hidden": 3, "t_final": 1.0, "dt": 0.1, "temperature": 0.05}
    chain = ThermodynamicChain((1, 4, 4), first, angles=[80.0, 10.0], order=[0, 0, 1], hidden=3).eval()
    made = generation.generate(Entry("chain", "chain", chain, Protocol(num_samples=11, kernel_subset_size=10)))
    phases = list(chain.phases(torch.arange(8), torch.zeros(8, dtype=torch.int64), seed=0))
    assert made.strip is not None and len(made.strip) == 1 + len(phases) == 8
    for frame, phase in zip(made.strip[1:], phases, strict=True):
        torch.testing.assert_close(frame, chain.to_images(phase.shown))


def test_a_network_runs_in_the_execution_that_it_measured_to_be_fastest_and_its_rows_say_so(monkeypatch):
    model = DiffusionModel(image_size=8, block_out_channels=[8, 16], num_train_timesteps=20).eval()
    measured = []
    monkeypatch.setattr(model, "fastest_execution", lambda batch: measured.append(batch) or "bfloat16")
    protocol = Protocol(num_samples=5, steps=3, kernel_subset_size=2, neighbours=1)
    entry = Entry("net", "net", model, protocol)
    assert entry.options == {"sampler": "dpm++", "steps": 3, "execution": "bfloat16"}
    assert measured == [5]  # the batch that will be drawn
    assert "execution bfloat16" in entry.how
    images = generation.generate(entry).images
    assert torch.equal(images, model.generate(5, steps=3, execution="bfloat16"))
    kept = generation.generate(Entry("net", "net", model, replace(protocol, execution="float32"))).images
    assert torch.equal(kept, model.generate(5, steps=3)) and not torch.equal(kept, images)


def test_a_machine_runs_in_the_precision_of_the_protocol_and_its_rows_say_so(monkeypatch):
    model = ThermodynamicGenerator(image_shape=[1, 4, 4], hidden=3, t_final=0.08, dt=0.02).eval()
    protocol = Protocol(num_samples=5, kernel_subset_size=2, neighbours=1)
    plain, rounded = (Entry("m", "m", model, replace(protocol, precision=name)) for name in ("ieee", "bf16"))
    assert plain.options == {} and plain.how == ""
    assert rounded.options == {"precision": "bf16"} and rounded.how == "precision bf16"
    seen: list[str] = []
    draw = model._draw
    monkeypatch.setattr(model, "_draw", lambda *given: seen.append(given[-1]) or draw(*given))
    generation.generate(rounded)
    assert set(seen) == {"bf16"}


def test_seconds_are_those_of_the_work_and_the_warm_up_is_apart(monkeypatch):
    """By a clock that moves by one second, and by seven while the model draws."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            self.now += 1.0
            return self.now

    clock = Clock()

    class Slow(Digital):
        def generate(self, num_samples, *, seed=0, batch_size=256, progress=None, sampler="dpm++", steps=None):
            clock.now += 7.0
            return super().generate(num_samples, seed=seed, progress=progress, sampler=sampler, steps=steps)

    monkeypatch.setattr(generation, "time", clock)
    model = Slow()
    made = generation.generate(
        Entry("d", "d", model, Protocol(num_samples=16, seed=5, steps=2, kernel_subset_size=10), "here")
    )
    rows = {row.metric: row for row in made.rows}
    assert (rows["time"].value, rows["speed"].value, rows["warm-up"].value) == (8 / 16, 16 / 8, 8.0)
    assert (rows["time"].num_samples, rows["speed"].num_samples, rows["warm-up"].num_samples) == (16, 16, 0)
    assert {(row.seed, row.command) for row in made.rows if row.value is not None} == {(5, "here")}
    assert rows["warm-up"].note.startswith("the first 8 samples") and "16 at a time" in rows["time"].note


def test_the_images_of_the_film_are_asked_for_the_classes_of_the_first_samples():
    """A model need not take the classes in turn by itself."""
    asked = []

    class Told(WatchedDigital):
        config = {"num_classes": 3}

        def generate(self, num_samples, *, labels=None, steps=None, **options):
            asked.append((num_samples, labels.tolist()))
            return super().generate(num_samples, steps=steps, **options)

    made = generation.generate(Entry("d", "d", Told(), Protocol(num_samples=11, steps=2, kernel_subset_size=10)))
    assert asked == [(8, [k % 3 for k in range(8)]), (11, [k % 3 for k in range(11)])]
    assert made.labels.tolist() == asked[1][1]
