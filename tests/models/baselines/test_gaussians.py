import pytest
import torch

from thermotorch.models.baselines.gaussians import Gaussians


def two_classes(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Return correlated images of 1 x 2 x 2 pixels inside [0, 1], with another mean and covariance in each class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    mixing = 0.02 * torch.randn(2, 4, 4, generator=generator)
    centre = torch.tensor([[0.3, 0.5, 0.6, 0.4], [0.6, 0.4, 0.3, 0.5]])
    z = torch.randn(n, 4, generator=generator)
    return (centre[labels] + (mixing[labels] @ z.unsqueeze(-1)).squeeze(-1)).view(n, 1, 2, 2), labels


def test_samples_have_the_mean_and_the_covariance_of_the_images():
    images, _ = two_classes()
    model = Gaussians((1, 2, 2), num_classes=0, components=None).fit(images, torch.zeros(len(images)))
    drawn = model.generate(40_000, seed=1).flatten(1).double()
    real = images.flatten(1).double()
    covariance = real.T.cov(correction=0)
    error = (covariance.diag() / len(drawn)).sqrt()
    assert ((drawn.mean(0) - real.mean(0)).abs() < 4.5 * error).all()
    variance = covariance.diag()
    error = ((variance[:, None] * variance + covariance**2) / len(drawn)).sqrt()
    assert ((drawn.T.cov() - covariance).abs() < 4.5 * error).all()


def test_each_class_has_its_own_gaussian():
    images, labels = two_classes()
    model = Gaussians((1, 2, 2), num_classes=2, components=4).fit(images, labels)
    asked = torch.arange(8000) // 4000
    drawn = model.generate(8000, labels=asked).flatten(1).double()
    for label in (0, 1):
        real, found = images[labels == label].flatten(1).double(), drawn[asked == label]
        assert ((found.mean(0) - real.mean(0)).abs() < 4.5 * real.std(0) / 4000**0.5).all()
        assert ((found.var(0) / real.var(0, correction=0) - 1).abs() < 4.5 * (2 / 4000) ** 0.5).all()
    assert torch.equal(model.generate(6), model.generate(6, labels=torch.tensor([0, 1, 0, 1, 0, 1])))


def test_few_components_keep_the_directions_of_largest_variance():
    images, labels = two_classes()
    model = Gaussians((1, 2, 2), num_classes=0, components=1).fit(images, labels)
    values, vectors = torch.linalg.eigh(images.flatten(1).double().T.cov(correction=0))
    drawn = model.generate(500).flatten(1).double()
    drawn = drawn - model.mean.double()
    assert (drawn @ vectors[:, :3]).abs().max() < 1e-6
    assert abs((drawn @ vectors[:, 3]).var() / values[3] - 1) < 4.5 * (2 / 500) ** 0.5


def test_the_moments_are_those_of_the_images_and_not_of_a_population_behind_them():
    images, labels = two_classes(6)
    model = Gaussians((1, 2, 2), num_classes=2, components=None).fit(images, labels)
    for label, (mean, basis) in enumerate(zip(model.mean, model.basis, strict=True)):
        pixels = images[labels == label].flatten(1)
        torch.testing.assert_close(mean.detach(), pixels.mean(0))
        away = pixels - pixels.mean(0)
        torch.testing.assert_close((basis @ basis.T).detach(), away.T @ away / 3, rtol=1e-4, atol=1e-9)


def test_pixels_beyond_black_and_white_are_cut():
    model = Gaussians((1, 2, 2), num_classes=0, components=4)
    with torch.no_grad():
        model.basis.copy_(0.7 * torch.eye(4))
        model.mean.fill_(0.5)
    drawn = model.generate(200)
    assert (drawn.min(), drawn.max()) == (0.0, 1.0)


def test_a_sample_is_a_function_of_seed_id_and_class():
    model = Gaussians((1, 2, 2), num_classes=2, components=3).fit(*two_classes())
    whole = model.generate(20, seed=5)
    ids = torch.tensor([13, 4])
    assert torch.equal(model.generate(2, seed=5, sample_ids=ids), whole[ids])
    assert torch.equal(model.generate(20, seed=5, batch_size=3), whole)
    assert not torch.equal(model.generate(20, seed=6), whole)
    assert not torch.equal(model.generate(2, seed=5, sample_ids=ids, labels=torch.tensor([0, 1])), whole[ids])


def test_what_does_not_fit_is_refused():
    images, labels = two_classes()
    with pytest.raises(ValueError, match="components: expected 1 ... 4"):
        Gaussians((1, 2, 2), components=5)
    with pytest.raises(ValueError, match="labels: no image of class 2"):
        Gaussians((1, 2, 2), num_classes=3, components=2).fit(images, labels)
    model = Gaussians((1, 2, 2), num_classes=2, components=2)
    with pytest.raises(ValueError, match="sample_ids: expected an int64 tensor of shape"):
        model.generate(3, sample_ids=torch.arange(2))
    with pytest.raises(ValueError, match="labels: expected 1 classes below 2"):
        model.generate(1, labels=torch.tensor([2]))
