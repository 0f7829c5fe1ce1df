"""The digital baseline: a denoising diffusion model built from standard parts of `diffusers`.

The network is `diffusers.UNet2DModel`; noise schedule and samplers are `diffusers` schedulers. This file imports no
other code of thermotorch but `execution.py`, so that the baseline stays independent.
"""

import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from thermotorch.models.baselines.execution import check_execution, executed_in, fastest_execution

SAMPLER_STEPS = {"dpm++": 20, "ddim": 50, "ddpm": None}  # default number of steps; None: as many as in training
Scheduler = DDIMScheduler | DDPMScheduler | DPMSolverMultistepScheduler | FlowMatchEulerDiscreteScheduler
_NORM_GROUPS = 8
_HEAD_CHANNELS = 32
_MOST_OF_ANY = 100_000  # channels, classes or timesteps: no network of such a size is meant
_MOST_BLOCKS = 1_000  # residual blocks in all, where published U-Nets have up to a hundred
_MOST_WEIGHTS = 1 << 32  # 16 GiB in float32, where published U-Nets have up to 3e9
_MOST = 1 << 62


class DiffusionModel(nn.Module):
    """A U-Net that undoes Gaussian noising, `x_t = alpha_t x_0 + sigma_t noise` with alpha_t^2 + sigma_t^2 = 1.

    Source: Ho, Jain, Abbeel, NeurIPS 2020 (equation 4, forward noising); Nichol, Dhariwal, ICML 2021 (equation 17, the
    cosine schedule `squaredcos_cap_v2`); Salimans, Ho, ICLR 2022 (section 4, v-prediction).

    Args:
        image_size: height and width of an image in pixels.
        channels: number of channels of an image.
        block_out_channels: channels of the U-Net at each resolution, finest first; multiples of 8.
        layers_per_block: number of residual blocks at each resolution.
        attention: True for self-attention at the coarsest resolution.
        num_train_timesteps: number of noise levels.
        beta_schedule: noise schedule of `diffusers.DDPMScheduler`.
        prediction_type: target of the network, "v_prediction", "epsilon" or "sample".
        num_classes: number of classes of a conditional network; 0 for an unconditional one.
        guidance: default strength of classifier-free guidance; 1 is none. See `generate`.

    """

    samplers: Mapping[str, int | None] = SAMPLER_STEPS
    compared: Sequence[str] = ("dpm++:10", "dpm++:20")  # `sampler:steps` of a comparison: the cheapest and the best
    cpu_batch_size = 32  # more activations leave the caches: 128 take 1.3 times as long, 256 1.7 times

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
        image_size, channels = _integer("image_size", image_size, 1), _size("channels", channels)
        layers_per_block = _integer("layers_per_block", layers_per_block, 1)
        num_classes = _size("num_classes", num_classes, 0)
        num_train_timesteps = _size("num_train_timesteps", num_train_timesteps)  # diffusers keeps a list of them
        guidance = _finite("guidance", guidance)
        if (
            isinstance(block_out_channels, str)
            or getattr(block_out_channels, "ndim", 1) == 0
            or not hasattr(block_out_channels, "__iter__")
        ):
            raise TypeError(f"block_out_channels: expected a sequence of integers, found {block_out_channels!r}")
        widths = [_integer("block_out_channels", width, 1) for width in block_out_channels]
        if not widths or any(width % _NORM_GROUPS for width in widths):
            raise ValueError(f"block_out_channels: expected multiples of {_NORM_GROUPS}, found {widths}")
        _check_network(widths, layers_per_block)
        if not isinstance(beta_schedule, str):
            raise TypeError(f"beta_schedule: expected a name, found {beta_schedule!r}")
        if not isinstance(prediction_type, str) or prediction_type not in ("v_prediction", "epsilon", "sample"):
            raise ValueError(
                f"prediction_type: expected 'v_prediction', 'epsilon' or 'sample', found {prediction_type!r}"
            )
        self.config: dict[str, Any] = {
            "image_size": image_size, "channels": channels, "block_out_channels": widths,
            "layers_per_block": layers_per_block, "attention": attention, "num_train_timesteps": num_train_timesteps,
            "beta_schedule": beta_schedule, "prediction_type": prediction_type, "num_classes": num_classes,
            "guidance": guidance,
        }  # fmt: skip
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
            num_class_embeds=num_classes + 1 if num_classes else None,  # the last stands for any class
        )
        self._fastest: dict[tuple[int, bool, torch.device, int], str] = {}

    def forward(self, noisy: Tensor, timesteps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the prediction for noisy images [batch, c, h, w] at timesteps [batch].

        `labels` [batch] are classes, or `num_classes` for any class, the default.
        """
        _, height, width = self.image_shape
        padded = F.pad(noisy, (0, self._padding, 0, self._padding))
        classes = self.config["num_classes"]
        if not classes:
            labels = None
        elif labels is None:
            labels = torch.full_like(timesteps, classes, dtype=torch.int64)
        return self.unet(padded, timesteps, labels).sample[..., :height, :width]

    def steps_of(self, sampler: str, steps: int | None = None) -> int:
        """Return the number of steps of a sampler, its default for None.

        Raises:
            TypeError, ValueError: an unknown sampler, or a number of steps of the wrong type or out of range.
        """
        self._check_sampler(sampler)
        trained = self.config["num_train_timesteps"]
        steps = _integer("steps", (self.samplers[sampler] or trained) if steps is None else steps)
        if not 1 <= steps <= trained:
            raise ValueError(f"steps: expected 1 ... {trained} (num_train_timesteps), found {steps}")
        return steps

    def loss(self, images: Tensor, noise: Tensor, timesteps: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the mean squared error of the prediction at noised images, a scalar.

        The target is `v = alpha_t noise - sigma_t x_0`, the noise or x_0, by `prediction_type`.

        Args:
            images: [batch, c, h, w] in [0, 1].
            noise: standard normals of the same shape.
            timesteps: int64 [batch], 0 <= t < num_train_timesteps.
            labels: int64 [batch], classes, or `num_classes` for any; ignored by an unconditional model.
        """
        noisy, conditioning, target = self.noised(2.0 * images - 1.0, noise, timesteps)
        return F.mse_loss(self(noisy, conditioning, labels), target)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy images, the timesteps for the network, and the target of its prediction."""
        # diffusers declares an IntTensor and takes any integers.
        noisy = self.noising.add_noise(clean, noise, timesteps)  # type: ignore[arg-type]
        target = {"epsilon": noise, "sample": clean}.get(self.config["prediction_type"])
        if target is None:
            target = self.noising.get_velocity(clean, noise, timesteps)  # type: ignore[arg-type]
        return noisy, timesteps, target

    @cached_property
    def noising(self) -> DDPMScheduler:
        """Return the scheduler that noises images for the training."""
        with torch.device("cpu"):  # whatever the device of a surrounding context
            return DDPMScheduler(**self._schedule())

    def scheduler(self, sampler: str) -> Scheduler:
        """Return a fresh scheduler: "dpm++" (DPM-Solver++ 2M), "ddim" (deterministic) or "ddpm" (ancestral).

        Source: Lu et al., DPM-Solver++, 2022 (algorithm 2); Song, Meng, Ermon, ICLR 2021 (equation 12 with sigma = 0);
        Ho, Jain, Abbeel, NeurIPS 2020 (algorithm 2).
        """
        self._check_sampler(sampler)
        if sampler == "dpm++":
            # The solver's time, log-SNR, is infinite at the end of the cosine schedule.
            return DPMSolverMultistepScheduler(
                **self._schedule(), algorithm_type="dpmsolver++", lambda_min_clipped=-5.1
            )
        if sampler == "ddim":
            # The default clips x_0 but not the noise estimate, so that guided steps would solve another equation.
            return DDIMScheduler(**self._schedule(), clip_sample=False)
        return DDPMScheduler(**self._schedule())

    def _check_sampler(self, sampler: str) -> None:
        if not isinstance(sampler, str) or sampler not in self.samplers:
            raise ValueError(f"sampler: expected one of {', '.join(self.samplers)}, found {sampler!r}")

    def _schedule(self) -> dict[str, Any]:
        shared = ("num_train_timesteps", "beta_schedule", "prediction_type")
        return {"timestep_spacing": "trailing", **{key: self.config[key] for key in shared}}

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        sample_ids: Tensor | None = None,
        batch_size: int = 256,
        progress: Callable[[int, int], None] | None = None,
        sampler: str | None = None,
        steps: int | None = None,
        labels: Tensor | None = None,
        guidance: float | None = None,
        execution: str = "float32",
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Return images from noise, float [num_samples, c, h, w] in [0, 1], on the model's device.

        Args:
            num_samples: number of images.
            seed, sample_ids: image i is a pure function of the model, the seed, 0 <= seed < 2^64, its class and
                `sample_ids[i]`, int64 [num_samples] (default: i).
            batch_size: number of images per batch.
            progress: callback (done, total) after each step, in images times steps.
            sampler: one of `samplers`, by default the first.
            steps: number of steps, by default that of `samplers`, where None stands for `num_train_timesteps`.
            labels: classes of the images, int64 [num_samples], by default `id % num_classes`.
            guidance: w in `prediction(any) + w (prediction(class) - prediction(any))`, by default the model's own.
                Each step costs two evaluations unless w is 1, or 0 for any class (Ho, Salimans, 2022, equation 6, where
                w is one less).
            execution: "float32", "bfloat16" (products of 8 significant bits, accumulated in float32), either with the
                suffix " channels_last", or "auto" for the fastest of these as measured by `fastest_execution`.
            watch: callback (step, noisy images [batch, c, h, w] in [0, 1] of the current batch) before the first step
                (step 0) and after each step.

        Raises:
            TypeError, ValueError: an unknown sampler or execution, or an argument of the wrong type, shape or range.

        Cost: `steps` forward passes of the U-Net for each image.
        """
        sampler = next(iter(self.samplers)) if sampler is None else sampler
        classes, steps, scheduler = self.config["num_classes"], self.steps_of(sampler, steps), self.scheduler(sampler)
        num_samples, batch_size = _integer("num_samples", num_samples, 0), _integer("batch_size", batch_size, 1)
        seed = _integer("seed", seed, 0, 1 << 64)
        ids = torch.arange(num_samples) if sample_ids is None else _integers(sample_ids)
        if ids is None or ids.shape != (num_samples,) or ((ids < 0) | (ids >= 2**32)).any():
            raise ValueError(
                f"sample_ids: expected {num_samples} integers (num_samples) below 2^32, found {sample_ids!r}"
            )
        targets = ids % max(1, classes) if labels is None else _integers(labels)
        known = range(classes) if labels is not None else range(max(1, classes))
        if targets is None or targets.shape != (num_samples,) or not set(targets.tolist()) <= set(known):
            raise ValueError(f"labels: expected {num_samples} of the {classes} classes of the model, found {labels!r}")
        guidance = self.config["guidance"] if guidance is None else _finite("guidance", guidance)
        check_execution(execution)

        device = next(self.parameters()).device
        if execution == "auto":
            execution = self.fastest_execution(min(batch_size, num_samples), guidance)
        images = torch.empty(num_samples, *self.image_shape, device=device)
        done, total = 0, num_samples * steps
        with executed_in(self.unet, execution) as number_format:
            for rows in torch.arange(num_samples).split(batch_size) if num_samples else ():
                generators = [_generator(seed, sample_id) for sample_id in ids[rows].tolist()]
                # The ancestral sampler draws the noise of every step from the same generators.
                draws: dict[str, Any] = {"generator": generators} if sampler == "ddpm" else {}
                noise = [torch.randn(self.image_shape, generator=generator) for generator in generators]
                state = torch.stack(noise).to(device)
                batch_labels = targets[rows].to(device)
                scheduler.set_timesteps(steps, device=device)
                if watch is not None:
                    watch(0, _shown(state))
                for step, timestep in enumerate(scheduler.timesteps, 1):
                    with number_format:
                        prediction = self._predict(state, timestep.expand(len(state)), batch_labels, guidance)
                    # diffusers declares a FloatTensor in some schedulers, and takes any tensor.
                    state = scheduler.step(prediction.float(), timestep, state, return_dict=False, **draws)[0]  # type: ignore[arg-type]
                    done += len(state)
                    if watch is not None:
                        watch(step, _shown(state))
                    if progress is not None:
                        progress(done, total)
                images[rows] = _shown(state)
        return images

    @torch.no_grad()
    def fastest_execution(self, batch_size: int, guidance: float | None = None) -> str:
        """Return the fastest `execution` of `generate` on this machine, measured at the first call.

        Cost: 16 predictions for a batch, once for each batch size.
        """
        guidance = self.config["guidance"] if guidance is None else guidance
        device = next(self.parameters()).device
        key = (batch_size, guidance in (0.0, 1.0), device, torch.get_num_threads())
        if key not in self._fastest:
            state = torch.zeros(max(1, batch_size), *self.image_shape, device=device)
            zeros = torch.zeros(len(state), dtype=torch.int64, device=device)
            self._fastest[key] = fastest_execution(self.unet, lambda: self._predict(state, zeros, zeros, guidance))
        return self._fastest[key]

    def _predict(self, state: Tensor, timesteps: Tensor, labels: Tensor, guidance: float) -> Tensor:
        """Return the prediction for a class, guided away from the one for any class."""
        if not self.config["num_classes"] or guidance == 1.0:
            return self(state, timesteps, labels)
        if guidance == 0.0:
            return self(state, timesteps)
        both = torch.cat((labels, torch.full_like(labels, self.config["num_classes"])))
        of_class, of_any = self(torch.cat((state, state)), torch.cat((timesteps, timesteps)), both).chunk(2)
        return of_any + guidance * (of_class - of_any)


def _integer(name: str, value: Any, least: int | None = None, limit: int = _MOST) -> int:
    """Return as an int any value that Python accepts as an index, except a Boolean; `limit` is a power of two."""
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected an integer, found {value!r}") from None
    if least is not None and not least <= number < limit:
        found = number if abs(number) < limit else "one of more digits"
        raise ValueError(f"{name}: expected at least {least} and less than 2^{limit.bit_length() - 1}, found {found}")
    return number


def _size(name: str, value: Any, least: int = 1) -> int:
    """Return an integer that a network can have."""
    if (number := _integer(name, value, least)) > _MOST_OF_ANY:
        raise ValueError(f"{name}: expected at most {_MOST_OF_ANY}, found {number}")
    return number


def _check_network(widths: list[int], layers: int) -> None:
    """Refuse a network that would take minutes or all memory to build, before any of it is.

    Each resolution has `layers` residual blocks on the way down and one more on the way up, and a block of width w at
    least two convolutions of 3 x 3 w^2 weights.
    """
    blocks = (2 * layers + 1) * len(widths)
    weights = (2 * layers + 1) * sum(18 * width**2 for width in widths)
    for what, found, most in (("residual blocks", blocks, _MOST_BLOCKS), ("weights", weights, _MOST_WEIGHTS)):
        if found > most:
            raise ValueError(
                f"block_out_channels, layers_per_block: expected a network of at most {most} {what}, found at least "
                f"{float(found):.3g} with {len(widths)} widths up to {max(widths)} and {layers} layers per block"
            )


def _integers(values: Any) -> Tensor | None:
    """Return integers as an int64 tensor on the CPU, or None for anything else."""
    try:
        tensor = torch.as_tensor(values).cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    if tensor.numel() and (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool):
        return None
    return tensor.long()


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
    """Return images of the network, in [-1, 1], as pixels in [0, 1], clipped."""
    return (state.clamp(-1.0, 1.0) + 1.0) / 2.0


def _generator(seed: int, sample_id: int) -> torch.Generator:
    """Return the generator of one image; torch's CPU generator keeps 32 bits of its seed, one to one in `sample_id`."""
    origin = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4).digest(), "little")
    return torch.Generator().manual_seed((origin + sample_id) % 2**32)
