import os
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
