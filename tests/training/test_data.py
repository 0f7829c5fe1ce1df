import numpy as np
import pytest
import torch

from thermotorch.training.data import Batches, Digits8x8Data, MNISTData, Part, Updates, known_images, recorded_data
from thermotorch.zoo import create_model, save_checkpoint


def numbered(count: int = 10, **arguments) -> Batches:
    """Batches of `count` images, each filled with its own index."""
    indices = torch.arange(count)
    part = Part(indices.view(-1, 1, 1, 1).float(), indices % 3, indices)
    return Batches(part, **{"batch_size": 4, "seed": 0, **arguments})


def test_every_image_is_used_equally_often_however_large_the_batch():
    for batch_size in (1, 3, 4, 25):
        batches = numbered(batch_size=batch_size)
        stream = torch.cat([batches.batch(step)["index"] for step in range(50)])
        for start in range(0, len(stream) - 9, 10):
            assert sorted(stream[start : start + 10].tolist()) == list(range(10))
        assert not torch.equal(stream[:10], stream[10:20])


def test_a_batch_is_a_function_of_seed_and_step_alone():
    one, other = numbered(), numbered()
    for _ in other:
        pass
    assert torch.equal(one.batch(7)["index"], other.batch(7)["index"])
    assert [batch["step"] for batch in one] == [0, 1]
    moved = [batch["index"] for batch in numbered(position=lambda count: 5 + count)]
    assert all(torch.equal(index, one.batch(5 + count)["index"]) for count, index in enumerate(moved))
    assert any(not torch.equal(one.batch(step)["index"], numbered(seed=1).batch(step)["index"]) for step in range(3))


def test_the_order_of_images_is_the_documented_function_of_seed_and_epoch():
    """Numpy's Philox with the key (seed, epoch); the validation split has the last epoch of all."""
    orders = {
        epoch: np.random.Generator(np.random.Philox(key=np.array([3, epoch], dtype=np.uint64))).permutation(1500)
        for epoch in (0, 1, 2**64 - 1)
    }
    data = Digits8x8Data(val_size=100, seed=3)
    data.setup()
    assert data._val[2].tolist() == sorted(orders[2**64 - 1][:100])
    assert data._train[2].tolist() == sorted(orders[2**64 - 1][100:])
    batches = numbered(1500, batch_size=1000, seed=3)
    found = torch.cat([batches.batch(step)["index"] for step in range(3)])
    assert found.tolist() == [*orders[0], *orders[1]]


def test_a_batch_says_which_image_is_where():
    batch = numbered().batch(3)
    assert torch.equal(batch["image"].flatten(), batch["index"].float())
    assert torch.equal(batch["label"], batch["index"] % 3)
    assert batch["slot"].tolist() == [0, 1, 2, 3]


def test_processes_share_one_global_batch():
    whole = numbered(batch_size=6)
    parts = [numbered(batch_size=6, rank=rank, world_size=3) for rank in range(3)]
    for step in range(5):
        together = {key: torch.cat([part.batch(step)[key] for part in parts]) for key in ("index", "image", "slot")}
        assert all(torch.equal(together[key], whole.batch(step)[key]) for key in together)
    with pytest.raises(ValueError, match="batch_size: expected a positive multiple of 4"):
        numbered(batch_size=6, world_size=4)


def test_the_real_8x8_digits():
    """Counts and one image of the UCI digits, as scikit-learn documents them: 1797 images, 178 zeros, 182 ones."""
    data = Digits8x8Data()
    images, labels = data.train_images()
    test_images, test_labels = data.test_images()
    everything = torch.cat([labels, test_labels]).bincount()
    assert everything.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images.shape == (1500, *data.image_shape)
    assert len(test_images) == 297
    assert (16 * images[0, 0, 0]).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images.min() == 0
    assert images.max() == 1


def test_digits_one_per_class_and_indices():
    images, labels = Digits8x8Data(digits=[2, 0], images_per_digit=1).train_images()
    everything, all_labels = Digits8x8Data().train_images()
    firsts = [int(torch.nonzero(all_labels == digit)[0]) for digit in (0, 2)]
    assert labels.tolist() == [0, 2]
    assert torch.equal(images, everything[firsts])

    data = Digits8x8Data(digits=[2, 0], images_per_digit=5, batch_size=10)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch["image"], everything[batch["index"]])
    assert batch["label"].bincount().tolist() == [5, 0, 5]


def test_normalisations():
    batches = {}
    for normalisation in ("unit", "per_image", "global"):
        data = Digits8x8Data(normalisation=normalisation, batch_size=1500)
        data.setup()
        batches[normalisation] = next(iter(data.train_dataloader()))["image"]
        assert torch.equal(data.normalise(data.train_images()[0])[:3], data._train[0][:3])
    unit, per_image, overall = batches.values()
    assert unit.min() == 0
    assert unit.max() == 1
    assert per_image.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (per_image.std(dim=(1, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert abs(overall.mean()) < 1e-5
    assert abs(overall.std(correction=0) - 1) < 1e-5
    assert torch.allclose((unit - unit.mean()) / unit.std(correction=0), overall, atol=1e-5)
    few = Digits8x8Data(normalisation="global", digits=[3], images_per_digit=1)
    few.setup()
    assert few._train[0].std(correction=0) == pytest.approx(1.0, abs=1e-5)  # of the 64 pixels themselves


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_share_the_images_of_an_evaluation(processes, monkeypatch):
    data, seen = Digits8x8Data(val_size=100), []
    data.setup()
    for rank in range(processes):
        place = (lambda count: count, rank, processes)
        monkeypatch.setattr("thermotorch.training.data.place_of", lambda trainer, place=place: place)
        indices = [
            torch.cat([batch["index"] for batch in part]) for part in (data.test_dataloader(), *data.val_dataloader())
        ]
        assert torch.equal(indices[1], data._val[2][rank::processes])
        seen.append(indices[0])
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(297))


def test_an_epoch_is_the_whole_batches_of_the_images_and_at_least_one():
    assert [len(numbered(batch_size=size)) for size in (1, 3, 10, 25)] == [10, 3, 1, 1]
    updates = Updates().train_dataloader()
    assert [batch["step"] for batch in updates] == list(range(100))


def test_the_split_is_disjoint_complete_and_fixed_by_the_seed():
    data, again, other = (Digits8x8Data(val_size=300, seed=seed) for seed in (1, 1, 2))
    for one in (data, again, other):
        one.setup()
    validation = torch.cat([batch["index"] for batch in data.val_dataloader()[0]])
    assert sorted([*validation.tolist(), *data._train[2].tolist()]) == list(range(1500))
    assert len(validation) == 300
    assert torch.equal(validation, again._val[2])
    assert not torch.equal(validation, other._val[2])
    assert sum(len(batch["label"]) for batch in data.test_dataloader()) == 297
    images, labels = data.fitted_images()
    assert torch.equal(images, data._train[0])
    assert torch.equal(labels, data._train[1])


def test_a_card_records_which_images_were_used():
    data = Digits8x8Data(digits=[3, 5], images_per_digit=40, val_size=30, seed=2)
    record = {
        "name": "Digits8x8",
        "images": "float",
        "digits": [3, 5],
        "images_per_digit": 40,
        "val_size": 30,
        "seed": 2,
    }
    again = recorded_data(record, "nowhere")
    assert len(again.fitted_images()[0]) == 50
    for found, wanted in zip(again.fitted_images(), data.fitted_images(), strict=True):
        assert torch.equal(found, wanted)
    with pytest.raises(ValueError, match="unknown data set 'MNST'; did you mean 'MNIST'"):
        recorded_data({"name": "MNST"}, "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"normalisation": "zscore"},
            r"normalisation: expected one of \['unit', 'per_image', 'global'\], found 'zscore'",
        ),
        ({"digits": [3, 10]}, r"digits: expected some of 0 ... 9, found \[3, 10\]"),
        ({"digits": []}, "digits: expected some of"),
        ({"images_per_digit": 0}, "images_per_digit: expected at least 1"),
        ({"val_size": 1500}, "val_size: expected 0 ... 1499 of 1500 images"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Digits8x8Data(**arguments).setup()


def test_missing_mnist_names_the_folder_the_files_and_the_command(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        MNISTData(tmp_path / "nowhere", download=False).prepare_data()
    message = str(caught.value)
    for part in (
        tmp_path / "nowhere" / "MNIST" / "raw",
        "train-images-idx3-ubyte",
        "THERMOTORCH_DATA",
        "python -c",
        "digits8x8",
    ):
        assert str(part) in message


def test_missing_mnist_without_a_network_is_the_same_error(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(FileNotFoundError, match="MNIST is not in .* and was not downloaded"):
        MNISTData(tmp_path).prepare_data()


def test_mnist(mnist_dir):
    """Counts that LeCun et al. publish: 60,000 and 10,000 images, 5923 zeros; the first training image is a five."""
    data = MNISTData(mnist_dir, download=False)
    images, labels = data.train_images()
    assert images.shape == (60000, 1, 28, 28)
    assert labels.bincount()[0] == 5923
    assert labels[0] == 5
    assert len(data.test_images()[0]) == 10000
    assert np.isclose(images.mean(), 0.1307, atol=5e-5)


def test_a_folder_in_the_home_of_no_known_user_is_named():
    with pytest.raises(ValueError, match="data_dir: expected a path, found '~no_such_user/data', of no known user"):
        MNISTData("~no_such_user/data")


def test_the_images_that_a_card_names_are_those_a_model_is_compared_with(tmp_path):
    record = {"name": "Digits8x8", "digits": [0, 1], "images_per_digit": 2, "normalisation": "per_image"}
    fields = {"data": record, "metrics": [], "energy": [], "training": {}, "licence": "", "notes": ""}
    checkpoint, _ = save_checkpoint(
        create_model("gaussians", image_shape=[1, 8, 8]), "gaussians.trial", tmp_path, fields
    )
    known = known_images(checkpoint, "no data")
    assert torch.equal(known.training, Digits8x8Data(digits=[0, 1], images_per_digit=2).train_images()[0])
    assert torch.equal(known.held_out, Digits8x8Data(digits=[0, 1]).test_images()[0])
    fields = {**fields, "data": {"name": "Theirs"}}
    theirs, _ = save_checkpoint(create_model("gaussians", image_shape=[1, 8, 8]), "gaussians.theirs", tmp_path, fields)
    assert known_images(theirs, "no data") is None  # images that another package brought
    assert known_images("ddpm.mnist", "no data") is None  # a card that names none


def test_an_image_of_one_grey_is_normalised_to_nothing():
    """It has no variance to divide by."""
    images = torch.stack([torch.full((1, 8, 8), 0.25), torch.rand(1, 8, 8)])
    found = Digits8x8Data(normalisation="per_image").normalise(images)
    assert not found[0].any() and found[1].square().mean().item() == pytest.approx(1.0, rel=1e-5)
