"""The images that a model of the zoo has seen, for finding copies of them among its samples."""

from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.training.data import DATA_SETS, recorded_data
from thermotorch.zoo import load_card


def known_images(name: str, data_dir: str) -> KnownImages | None:
    """Return the training images of a model of the zoo, and test images of the same classes.

    None if they are not on this machine, or belong to a data set of another package.
    """
    record = load_card(name)["data"]
    if record.get("name") not in DATA_SETS:
        return None
    try:
        training, _ = recorded_data(record, data_dir).fitted_images()
    except FileNotFoundError:
        return None
    held_out, _ = recorded_data({**record, "images_per_digit": None}, data_dir).test_images()
    return KnownImages(training, held_out)
