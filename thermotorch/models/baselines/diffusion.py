"""The digital baseline: a denoising diffusion model made of the standard parts of `diffusers`.

It imports nothing of thermotorch, so that the baseline owes the competitor nothing: the network is
`diffusers.UNet2DModel`, the noise schedule and the samplers are `diffusers` schedulers.
"""

import hashlib
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLER_STEPS = {"dpm++": 20, "ddim": 50, "ddpm": None}  # steps by default; None: as many as in training
_NORM_GROUPS = 8
_HEAD_CHANNELS = 32


class DiffusionModel(nn.Module):
    """A U-Net that undoes Gaussian noising, `x_t = alpha_t x_0 + sigma_t noise` with alpha_t^2 + sigma_t^2 = 1.

    Source: Ho, Jain, Abbeel, NeurIPS 2020 (equation 4, forward noising); Nichol, Dhariwal, ICML 2021 (equation 17, the
    cosine schedule `squaredcos_cap_v2`); Salimans, Ho, ICLR 2022 (section 4, v-prediction).

    Args:
        image_size: height and width of an image in pixels.
        channels: channels of an image.
        block_out_channels: channels of the U-Net at each resolution, finest first; multiples of 8.
        layers_per_block: residual blocks at each resolution.
        attention: self-attention at the coarsest resolution.
        num_train_timesteps: noise levels t = 0 ... num_train_timesteps - 1.
        beta_schedule: a schedule of `diffusers.DDPMScheduler`.
        prediction_type: what the network predicts: "v_prediction", "epsilon" or "sample".
        num_classes: classes that the network is told; 0 for none.
        guidance: default strength of classifier-free guidance when generating; 1 is none. See `generate`.

    Raises:
        ValueError: `block_out_channels` does not fit the group normalisation.
    """

    samplers = SAMPLER_STEPS
    cpu_batch_size = 32  # activations of more images fall out of the caches: 128 take 1.3 times as long, 256 1.7 times

    def __init__(
        self,
        image_size: int = 28,
        channels: int = 1,
        block_out_channels: Iterable[int] = (32, 64, 64),
        layers_per_block: int = 1,
        attention: bool = True,
        num_train_timesteps: int = 1000,
        beta_schedule: str = "squaredcos_cap_v2",
        prediction_type: str = "v_prediction",
        num_classes: int = 0,
        guidance: float = 1.0,
    ) -> None:
        super().__init__()
        image_size, channels = _integer("image_size", image_size, 1), _integer("channels", channels, 1)
        layers_per_block = _integer("layers_per_block", layers_per_block, 1)
        num_train_timesteps = _integer("num_train_timesteps", num_train_timesteps, 1)
        num_classes, guidance = _integer("num_classes", num_classes, 0), _finite("guidance", guidance)
        widths = [_integer("block_out_channels", width, 1) for width in block_out_channels]
        if not widths or any(width % _NORM_GROUPS for width in widths):
            raise ValueError(f"block_out_channels: expected multiples of {_NORM_GROUPS}, found {widths}")
        if prediction_type not in ("v_prediction", "epsilon", "sample"):
            raise ValueError(
                f"prediction_type: expected 'v_prediction', 'epsilon' or 'sample', found {prediction_type!r}"
            )
        self.config = {
            "image_size": image_size,
            "channels": channels,
            "block_out_channels": widths,
            "layers_per_block": layers_per_block,
            "attention": attention,
            "num_train_timesteps": num_train_timesteps,
            "beta_schedule": beta_schedule,
            "prediction_type": prediction_type,
            "num_classes": num_classes,
            "guidance": guidance,
        }
        self.image_shape = (channels, image_size, image_size)
        self._padding = -image_size % 2 ** (len(widths) - 1)  # the U-Net halves the image between resolutions
        lowest = "Attn" if attention else ""
        self.unet = UNet2DModel(
            sample_size=image_size + self._padding,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(widths),
            layers_per_block=layers_per_block,
            down_block_types=("DownBlock2D",) * (len(widths) - 1) + (f"{lowest}DownBlock2D",),
            up_block_types=(f"{lowest}UpBlock2D",) + ("UpBlock2D",) * (len(widths) - 1),
            add_attention=attention,
            attention_head_dim=min(_HEAD_CHANNELS, widths[-1]),
            norm_num_groups=_NORM_GROUPS,
            num_class_embeds=num_classes + 1 if num_classes else None,  # the last one stands for "any class"
        )
        with torch.device("cpu"):  # it holds tensors but is no module: a network on the meta device must not empty them
            self.noising = self.scheduler("ddpm")

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's prediction for noisy images [batch, c, h, w] in [-1, 1] plus noise, at timesteps [batch].

        `labels` [batch] are classes, or `num_classes` for any class, which is also the default.
        """
        _, height, width = self.image_shape
        padded = F.pad(noisy, (0, self._padding, 0, self._padding))
        classes = self.config["num_classes"]
        if not classes:
            labels = None
        elif labels is None:
            labels = torch.full_like(timesteps, classes)
        return self.unet(padded, timesteps, labels).sample[..., :height, :width]

    def steps_of(self, sampler: str, steps: int | None = None) -> int:
        """Steps of a sampler, by default its own number of them.

        Raises:
            TypeError, ValueError: an unknown sampler, or a number of steps that is none or out of range.
        """
        _known(sampler)
        trained = self.config["num_train_timesteps"]
        steps = _integer("steps", (SAMPLER_STEPS[sampler] or trained) if steps is None else steps)
        if not 1 <= steps <= trained:
            raise ValueError(f"steps: expected 1 ... {trained} (num_train_timesteps), found {steps}")
        return steps

    def loss(self, images: Tensor, noise: Tensor, timesteps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mean squared error of the prediction at the noised images.

        The target is `v = alpha_t noise - sigma_t x_0` (or the noise, or x_0, as `prediction_type` says).

        Args:
            images: [batch, c, h, w] in [0, 1].
            noise: standard normals of the same shape.
            timesteps: int64 [batch], 0 <= t < num_train_timesteps.
            labels: int64 [batch], classes, or `num_classes` for any; ignored by a model that is told no classes.

        Returns:
            Scalar.
        """
        clean = 2.0 * images - 1.0
        target = {
            "v_prediction": lambda: self.noising.get_velocity(clean, noise, timesteps),
            "epsilon": lambda: noise,
            "sample": lambda: clean,
        }[self.config["prediction_type"]]()
        return F.mse_loss(self(self.noising.add_noise(clean, noise, timesteps), timesteps, labels), target)

    def scheduler(self, sampler: str) -> SchedulerMixin:
        """A fresh `diffusers` scheduler: "dpm++" (DPM-Solver++ 2M), "ddim" (deterministic) or "ddpm" (ancestral).

        Source: Lu et al., DPM-Solver++, 2022 (algorithm 2); Song, Meng, Ermon, ICLR 2021 (equation 12 with sigma = 0);
        Ho, Jain, Abbeel, NeurIPS 2020 (algorithm 2).
        """
        _known(sampler)
        schedule = {key: self.config[key] for key in ("num_train_timesteps", "beta_schedule", "prediction_type")}
        if sampler == "dpm++":
            # The cosine schedule ends at a signal-to-noise ratio of zero, where log-SNR, the solver's time, is
            # infinite.
            return DPMSolverMultistepScheduler(
                **schedule, algorithm_type="dpmsolver++", timestep_spacing="trailing", lambda_min_clipped=-5.1
            )
        if sampler == "ddim":
            # Clipping x_0, the default, leaves the noise estimate as it was: guided steps then solve another equation,
            # and the more of them the worse the images.
            return DDIMScheduler(**schedule, timestep_spacing="trailing", clip_sample=False)
        return DDPMScheduler(**schedule, timestep_spacing="trailing")

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Callable[[int, int], None] | None = None,
        sampler: str = "dpm++",
        steps: int | None = None,
        labels: Tensor | None = None,
        guidance: float | None = None,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Images from noise.

        Args:
            num_samples: how many images.
            seed: 0 <= seed < 2^64, by default 0, so that the same call gives the same images; together with a sample's
                id it determines the image, whatever else is in the batch.
            sample_ids: int64 [num_samples], default 0 ... num_samples - 1.
            batch_size: images in memory at once.
            progress: called as `progress(done, total)` after each step, in images times steps.
            sampler: "dpm++", "ddim" or "ddpm".
            steps: network evaluations for each image; default 20 for dpm++, 50 for ddim, all of them for ddpm.
            labels: int64 [num_samples], classes for a model that is told them; default `id % num_classes`.
            guidance: w in `prediction(any) + w (prediction(class) - prediction(any))`, default the model's own; unless
                it is 1, each step costs two evaluations (Ho, Salimans, 2022, equation 6, with w there one less).
            watch: called as `watch(step, images)` with the noisy images [batch, c, h, w] in [0, 1] of the batch at
                hand, before the first step with 0 and after each.

        Returns:
            float [num_samples, c, h, w] in [0, 1], on the model's device.

        Raises:
            TypeError, ValueError: an unknown sampler, a number that is none or out of range, or ids or labels that do
                not fit.

        Cost: `steps` forward passes of the U-Net for each image.
        """
        classes, steps, scheduler = self.config["num_classes"], self.steps_of(sampler, steps), self.scheduler(sampler)
        num_samples, batch_size = _integer("num_samples", num_samples, 0), _integer("batch_size", batch_size, 1)
        seed = _integer("seed", seed, 0)
        if seed >= 2**64:
            raise ValueError(f"seed: expected less than 2^64, found {seed}")
        ids = torch.arange(num_samples) if sample_ids is None else _integers(sample_ids)
        if ids is None or ids.shape != (num_samples,) or ((ids < 0) | (ids >= 2**32)).any():
            raise ValueError(
                f"sample_ids: expected {num_samples} integers (num_samples) below 2^32, found {sample_ids!r}"
            )
        if labels is None:
            told = ids % max(1, classes)
        else:
            told = _integers(labels)
            if told is None or told.shape != (num_samples,) or not set(told.tolist()) <= set(range(classes)):
                raise ValueError(
                    f"labels: expected {num_samples} of the {classes} classes the model is told, found {labels!r}"
                )
        guidance = self.config["guidance"] if guidance is None else _finite("guidance", guidance)

        device = next(self.parameters()).device
        images = torch.empty(num_samples, *self.image_shape, device=device)
        done, total = 0, num_samples * steps
        for rows in torch.arange(num_samples).split(batch_size) if num_samples else ():
            generators = [_generator(seed, sample_id) for sample_id in ids[rows].tolist()]
            # The ancestral sampler draws noise in every step, from the same generators.
            draws = {"generator": generators} if sampler == "ddpm" else {}
            state = torch.stack([torch.randn(self.image_shape, generator=generator) for generator in generators]).to(
                device
            )
            asked = told[rows].to(device)
            scheduler.set_timesteps(steps, device=device)
            if watch is not None:
                watch(0, _shown(state))
            for step, timestep in enumerate(scheduler.timesteps, 1):
                prediction = self._predict(state, timestep.expand(len(state)), asked, guidance)
                state = scheduler.step(prediction, timestep, state, **draws).prev_sample
                done += len(state)
                if watch is not None:
                    watch(step, _shown(state))
                if progress is not None:
                    progress(done, total)
            images[rows] = _shown(state)
        return images

    def _predict(self, state: Tensor, timesteps: Tensor, labels: Tensor, guidance: float) -> Tensor:
        """The prediction for a class, guided away from the one for any class."""
        if not self.config["num_classes"] or guidance == 1.0:
            return self(state, timesteps, labels)
        both = torch.cat((labels, torch.full_like(labels, self.config["num_classes"])))
        of_class, of_any = self(torch.cat((state, state)), torch.cat((timesteps, timesteps)), both).chunk(2)
        return of_any + guidance * (of_class - of_any)


def _known(sampler: str) -> None:
    if sampler not in SAMPLER_STEPS:
        raise ValueError(f"sampler: expected one of {', '.join(SAMPLER_STEPS)}, found {sampler!r}")


def _integer(name: str, value: Any, least: int | None = None) -> int:
    """Return whatever Python takes for an index, but no truth value."""
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected an integer, found {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name}: expected at least {least}, found {number}")
    return number


def _integers(values: Any) -> Tensor | None:
    """Return integers as an int64 tensor on the CPU, or None where they are none."""
    try:
        found = torch.as_tensor(values).cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        return found.long() if not found.numel() else None
    return found.long()


def _finite(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool | str | bytes) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected a number, found {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, found {number}")
    return number


def _shown(state: Tensor) -> Tensor:
    """Pixels from the network's [-1, 1] to [0, 1], clipped."""
    return (state.clamp(-1.0, 1.0) + 1.0) / 2.0


def _generator(seed: int, sample_id: int) -> torch.Generator:
    """The generator of one image: one to one in `sample_id`, because torch's CPU generator keeps 32 bits of its
    seed.
    """
    origin = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4).digest(), "little")
    return torch.Generator().manual_seed((origin + sample_id) % 2**32)
