import torch

from thermotorch.training.data import Digits8x8Data, known_images
from thermotorch.zoo import create_model, save_checkpoint


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
