import os
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _generator() -> None:
    """Seed torch's generator, the source of missing seeds, so that a test does not depend on those before it."""
    torch.manual_seed(1234567)


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder that holds MNIST/raw: $THERMOTORCH_DATA, or `data` under the working directory."""
    folder = Path(os.environ.get("THERMOTORCH_DATA", "data")).expanduser()
    if not (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip(f"no MNIST under {folder.resolve()}: set THERMOTORCH_DATA to the folder that holds MNIST/raw")
    return folder


@pytest.fixture(scope="session")
def digits8x8() -> tuple[torch.Tensor, torch.Tensor]:
    """Return scikit-learn's digits: images [1797, 1, 8, 8] in [0, 1] and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.as_tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.as_tensor(digits.target, dtype=torch.int64)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty working directory, so that output of a program stays out of the clone."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(run_dir, monkeypatch):
    """Run a program in this process, as if typed in an empty directory, and return the newest run folder."""
    from hydra.core.hydra_config import HydraConfig

    def run(main, *arguments: str) -> Path:
        monkeypatch.setattr(sys, "argv", ["thermotorch", *arguments])
        monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # as in a new process
        main()
        return max((path.parent for path in run_dir.rglob(".hydra")), key=lambda path: path.stat().st_mtime_ns)

    return run


@pytest.fixture(scope="module")
def zoo_of_stand_ins(tmp_path_factory, digits8x8):
    """A zoo folder with untrained models of a few units for 8x8 images, under the names that the defaults ask for."""
    from thermotorch.zoo import create_model, save_checkpoint, save_reference

    home = tmp_path_factory.mktemp("home")
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    torch.manual_seed(0)
    for name, config in {
        "generator.three_digits": {"image_shape": [1, 8, 8], "hidden": 4, "t_final": 0.02},
        "generator.mnist": {"image_shape": [1, 8, 8], "hidden": 5, "t_final": 0.02},
        "ddpm.mnist": {"image_size": 8, "block_out_channels": [8, 8]},
        "feature_net.mnist": {"image_size": 8},
    }.items():
        model = create_model(name.partition(".")[0], **config)
        path, _ = save_checkpoint(model, name, home, fields)
    with torch.no_grad():
        save_reference(path, {"features": model.features(digits8x8[0]).half(), "labels": digits8x8[1].byte()})
    return home


@pytest.fixture
def stand_ins(zoo_of_stand_ins, monkeypatch, tmp_path):
    monkeypatch.setenv("THERMOTORCH_HOME", str(zoo_of_stand_ins))
    monkeypatch.setattr("thermotorch.evaluation.cache.results_folder", lambda: tmp_path / "results")
    monkeypatch.setenv("THERMOTORCH_DATA", "no data")
