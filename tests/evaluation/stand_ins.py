"""Models small enough that a whole comparison takes a second."""

import torch
from torch import Tensor, nn

from thermotorch.evaluation import FeatureSpace
from thermotorch.models.protocol import Samples, Thermodynamic

SIDE, CLASSES, WIDTH = 6, 4, 5


class Judge(nn.Module):
    """Linear features; confident about every image, as its logits are large."""

    num_features = WIDTH

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        self.weight = nn.Parameter(torch.randn(SIDE * SIDE, WIDTH, generator=generator))

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight

    def forward(self, images: Tensor) -> Tensor:
        return 100.0 * self.features(images)[:, :CLASSES]


def noise(num_samples: int, seed: int) -> Tensor:
    return torch.rand(num_samples, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


class Device(nn.Module, Thermodynamic):
    """A thermodynamic device: heat 10 kT or 30 kT in turn, work 5 kT."""

    def __init__(self) -> None:
        super().__init__()
        self.couplings = nn.Parameter(torch.zeros(7))

    def sample(self, num_samples, *, seed=0, sample_ids=None, batch_size=256, progress=None) -> Samples:
        if progress is not None:
            progress(num_samples, num_samples)
        heat = torch.tensor([10.0, 30.0]).repeat(num_samples)[:num_samples]
        return Samples(noise(num_samples, seed), heat, torch.full((num_samples,), 5.0))

    def readable_times(self, fractions):
        return []  # it is not read on its way

    def generate(self, num_samples, *, seed=0, sample_ids=None, batch_size=256, progress=None) -> Tensor:
        return self.sample(num_samples, seed=seed, progress=progress).images


class Digital(nn.Module):
    """A digital model: one 36 x 36 matrix product a step, 2 x 36 x 36 operations."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE * SIDE, SIDE * SIDE, bias=False)

    @torch.no_grad()
    def generate(
        self, num_samples, *, seed=0, sample_ids=None, batch_size=256, progress=None, sampler="dpm++", steps=None
    ):
        images = noise(num_samples, seed).square()
        for done in range(steps):
            self.layer(images.flatten(1))
            if progress is not None:
                progress(done + 1, steps)
        return images


def feature_space(num_reference: int = 200) -> FeatureSpace:
    judge = Judge()
    return FeatureSpace(
        "thermotorch-test-v1", judge, judge.features(noise(num_reference, 99)).detach(), "a stand-in judge"
    )


class Watched(Device):
    """A device that is read on its way: from grey to its samples, four steps of 0.5."""

    t_final = 2.0

    def readable_times(self, fractions):
        return sorted({round(4 * fraction) / 2 for fraction in fractions})

    def sample(self, num_samples, *, times=(), **options):
        samples = super().sample(num_samples, **options)
        images = samples.images
        frames = (
            torch.stack([torch.full_like(images, 0.5).lerp(images, time / 2.0) for time in times]) if times else None
        )
        return samples._replace(frames=frames)


class WatchedDigital(Digital):
    """A digital model whose `forward` is its network, evaluated twice a step, and whose states can be watched."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    @torch.no_grad()
    def generate(self, num_samples, *, seed=0, batch_size=256, progress=None, sampler="dpm++", steps=None, watch=None):
        images = noise(num_samples, seed).square()
        if watch is not None:
            watch(0, torch.zeros_like(images))
        for done in range(1, steps + 1):
            self(torch.cat((images, images)).flatten(1))
            if watch is not None:
                watch(done, images * done / steps)
        return images
