"""A callback that ends training at the first gradient that is not finite, before it reaches the weights."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class FiniteGradients(Callback):
    """Stop before an update whose gradient holds a NaN or an infinity, so that the last checkpoint holds good weights.

    A loss that is not finite has such a gradient. In float16 the gradient scaler already skips such updates, and this
    callback does nothing.

    Cost: one norm of each parameter's gradient for each update, for which the host waits on a GPU.
    """

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if str(trainer.precision).startswith("16"):
            return
        gradients = {
            name: parameter.grad for name, parameter in pl_module.named_parameters() if parameter.grad is not None
        }
        if not gradients:
            return
        norms = torch._foreach_norm(list(gradients.values()))
        finite = torch.stack([norm.isfinite() for norm in norms])
        if not finite.all():
            bad = next(name for name, good in zip(gradients, finite.tolist(), strict=True) if not good)
            raise FloatingPointError(
                f"the gradient of {bad} is not finite at update {trainer.global_step + 1}; the weights before that "
                f"update are kept: try a lower learning rate or trainer.gradient_clip_val, and continue with "
                f"ckpt_path=last"
            )
