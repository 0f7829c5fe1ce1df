from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.training.sampling import SampleFiles, SampleIds, Sampling, joined_samples, sample_over_processes


def machine() -> ThermodynamicGenerator:
    """A conditional machine of a few units whose couplings and biases matter: classes differ, and so do samples."""
    torch.manual_seed(0)
    model = ThermodynamicGenerator([1, 3, 3], hidden=5, num_classes=3, visible_bias=True, t_final=0.2, dt=0.01)
    for parameter in model.potential.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.mark.slow
def test_two_processes_draw_the_samples_of_one_to_the_last_bit(tmp_path):
    """1001 is odd, so the shares differ; batches of 64 divide neither share.

    Heat is a difference of energies, whose matrix products round differently in batches of other sizes.
    """
    model = machine()
    classes = torch.arange(1001) // 7 % 3
    shared = sample_over_processes(
        model, 1001, tmp_path, devices=2, seed=3, batch_size=64, given={"labels": classes}, progress_bar=False
    )
    whole = model.sample(1001, seed=3, labels=classes)
    assert torch.equal(shared["images"], whole.images)
    rounding = 8 * torch.finfo(torch.float32).eps * whole.heat.abs().max()
    assert (shared["heat"] - whole.heat).abs().max() <= rounding
    assert len(shared["heat"].unique()) > 990  # every sample is one of its own
    assert list(tmp_path.iterdir()) == []  # the parts are gone


def test_classes_follow_the_id_and_not_the_process(tmp_path):
    """Without labels the classes are `id % num_classes`; held label units make them visible in the heat."""
    model = machine()
    alone = sample_over_processes(model, 7, tmp_path, devices=1, batch_size=2, progress_bar=False)
    expected = model.sample(7, labels=torch.arange(7) % 3)
    other = model.sample(7, labels=(torch.arange(7) + 1) % 3)
    assert torch.equal(alone["heat"], expected.heat)
    assert list(tmp_path.glob("rank-*")) == [], "the parts of the processes are joined, and gone"
    assert not torch.isclose(alone["heat"], other.heat, rtol=1e-3).any()


@pytest.mark.parametrize("world_size", [1, 2, 3, 10])
def test_shares_are_each_id_once_in_order(world_size):
    data = SampleIds(10, batch_size=3, given={"labels": 5 * torch.arange(10)})
    shares = [data.share(rank, world_size) for rank in range(world_size)]
    ids = torch.cat([batch["sample_ids"] for share in shares for batch in share])
    assert torch.equal(ids, torch.arange(10))
    assert torch.equal(torch.cat([batch["labels"] for share in shares for batch in share]), 5 * ids)
    sizes = [sum(len(batch["sample_ids"]) for batch in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert max(len(batch["sample_ids"]) for share in shares for batch in share) <= 3


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_digital_model_does_not_mind_its_process_either(world_size):
    """Ancestral sampling, which draws noise in every step; up to the rounding of products in other batches."""
    torch.manual_seed(0)
    model = DiffusionModel(image_size=8, block_out_channels=[8, 8], num_train_timesteps=20, num_classes=3).eval()
    options = {"sampler": "ddpm", "steps": 4}
    module, data = Sampling(model, seed=5, options=options), SampleIds(7, batch_size=2)
    shares = [batch for rank in range(world_size) for batch in data.share(rank, world_size)]
    images = torch.cat([module.predict_step(batch)["images"] for batch in shares])
    torch.testing.assert_close(images, model.generate(7, seed=5, **options), rtol=0, atol=1e-5)
    assert (images[0] - images[3]).abs().max() > 0.1


def test_lightnings_own_sampler_for_prediction_repeats_nothing(tmp_path):
    """A trainer with several devices gives this sampler to a plain `DataLoader` of ids."""
    from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSamplerWrapper

    sampler = DataLoader(torch.arange(7), batch_size=2).sampler
    shares = [list(UnrepeatedDistributedSamplerWrapper(sampler, num_replicas=2, rank=rank)) for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == list(range(7))


@pytest.mark.parametrize("ids", [[0, 1, 1], [0, 2], [0, 1, 2, 3], []], ids=["twice", "missing", "too many", "none"])
def test_parts_that_are_not_each_sample_once_are_refused(tmp_path, ids):
    for rank, part in enumerate(torch.tensor(ids, dtype=torch.int64).tensor_split(2)):
        save_file(
            {"sample_ids": part, "images": torch.zeros(len(part), 1, 2, 2)}, tmp_path / f"rank-{rank:05d}.safetensors"
        )
    with pytest.raises(ValueError, match=r"expected each of the samples 0 \.\.\. 2 once"):
        joined_samples(tmp_path, 3)


def test_bad_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"devices: expected 1 \.\.\. 3 \(num_samples\), found 4"):
        sample_over_processes(machine(), 3, tmp_path, devices=4)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, found 0"):
        SampleIds(3, batch_size=0)
    with pytest.raises(ValueError, match=r"given: expected 3 labels \(num_samples\), found 2"):
        SampleIds(3, given={"labels": torch.zeros(2)})


def test_files_of_an_earlier_call_are_removed_by_the_first_process_and_others_stay(tmp_path):
    """A call with more processes leaves parts that this one would not write over."""
    waited = []
    for first, left in ((False, ["notes.txt", "rank-00007.safetensors"]), (True, ["notes.txt"])):
        for name in ("notes.txt", "rank-00007.safetensors"):
            (tmp_path / name).write_bytes(b"")
        strategy = SimpleNamespace(barrier=lambda: waited.append(sorted(file.name for file in tmp_path.iterdir())))
        SampleFiles(tmp_path).on_predict_start(SimpleNamespace(is_global_zero=first, strategy=strategy), None)
        assert waited.pop() == left
    sample_over_processes(machine(), 2, tmp_path, devices=1, progress_bar=False)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == []
