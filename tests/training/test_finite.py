"""Training ends at the first gradient that is not finite, with good weights in its checkpoint."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from thermotorch.training.callbacks import FiniteGradients


class Diverging(LightningModule):
    """A weight whose gradient is not finite from update `bad` on."""

    def __init__(self, bad: int, value: float) -> None:
        super().__init__()
        self.weight, self.bad, self.value = torch.nn.Parameter(torch.ones(3)), bad, value

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.weight.sum() * (self.value if batch_idx + 1 == self.bad else 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(torch.zeros(6, 1))


def trainer(folder) -> Trainer:
    checkpoint = ModelCheckpoint(folder, save_last=True, save_on_exception=True)
    return Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[FiniteGradients(), checkpoint],
    )  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_update_is_named_and_not_made(tmp_path, value):
    module = Diverging(4, value)
    with pytest.raises(FloatingPointError, match="gradient of weight is not finite at update 4"):
        trainer(tmp_path).fit(module)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.testing.assert_close(kept["state_dict"]["weight"], torch.full((3,), 0.7))  # after three updates
    assert kept["global_step"] == 3


def test_finite_gradients_pass(tmp_path):
    module = Diverging(0, 1.0)
    trainer(tmp_path).fit(module)
    torch.testing.assert_close(module.weight.detach(), torch.full((3,), 0.4))


def test_a_gradient_scaler_that_skips_updates_by_itself_is_left_to_it():
    """That of float16; bfloat16 has none."""
    module = Diverging(0, 1.0)
    FiniteGradients().on_before_optimizer_step(SimpleNamespace(precision="bf16-mixed"), module, None)  # no gradient
    module.weight.grad = torch.tensor([1.0, float("nan"), 1.0])
    FiniteGradients().on_before_optimizer_step(SimpleNamespace(precision="16-mixed"), module, None)
    with pytest.raises(FloatingPointError, match="at update 4"):
        FiniteGradients().on_before_optimizer_step(SimpleNamespace(precision="bf16-mixed", global_step=3), module, None)
