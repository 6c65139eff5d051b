from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from vitascope.data.mix import cutmix, mix_batch, mixup
from vitascope.data.settings import AugmentConfig
from vitascope.errors import ConfigError

B, K = 8, 5
LABELS = torch.arange(B) % K


def constant_images(height: int = 16, width: int = 24) -> torch.Tensor:
    """Sample i is i everywhere, so each pixel tells where it came from."""
    return torch.arange(B, dtype=torch.float32).view(-1, 1, 1, 1).expand(B, 3, height, width).contiguous()


def test_without_mixing_everything_comes_back() -> None:
    images = constant_images()
    result, targets = mix_batch(images, LABELS, K, AugmentConfig(), np.random.default_rng(0))
    assert result is images
    assert targets is LABELS


def test_mixup_blends_images_and_targets_by_the_same_share() -> None:
    images = constant_images()
    mixed, targets = mix_batch(images, LABELS, K, AugmentConfig(mixup=0.8), np.random.default_rng((0, 7)))
    for i in range(B):
        j = (i - 1) % B
        pixel = mixed[i, 0, 0, 0].item()
        assert (mixed[i] == mixed[i, 0, 0, 0]).all()
        share = (pixel - j) / (i - j)
        assert -1e-6 <= share <= 1 + 1e-6
        expected = torch.zeros(K)
        expected[LABELS[i]] += share
        expected[LABELS[j]] += 1 - share
        torch.testing.assert_close(targets[i], expected, rtol=0, atol=1e-5)


def test_cutmix_share_is_the_pixel_share() -> None:
    images = constant_images()
    shares = []
    for seed in range(30):
        mixed, targets = mix_batch(images, LABELS, K, AugmentConfig(cutmix=1.0), np.random.default_rng(seed))
        for i in range(B):
            j = (i - 1) % B
            own = mixed[i] == i
            assert (own | (mixed[i] == j)).all()
            assert (own == own[0]).all()  # the same rectangle in every channel
            foreign = ~own[0]
            if foreign.any():
                rows, columns = torch.where(foreign)
                assert foreign[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
            share = own[0].float().mean()
            expected = torch.zeros(K)
            expected[LABELS[i]] += share
            expected[LABELS[j]] += 1 - share
            torch.testing.assert_close(targets[i], expected, rtol=0, atol=1e-6)
            shares.append(share.item())
    assert min(shares) < 0.4
    assert max(shares) > 0.95


@pytest.mark.parametrize(
    "config", [AugmentConfig(mixup=0.4), AugmentConfig(cutmix=1.0), AugmentConfig(mixup=0.8, cutmix=1.0)]
)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_targets_are_float32_distributions(config: AugmentConfig, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 8, 8, generator=generator)
    before = images.clone()
    for seed in range(20):
        mixed, targets = mix_batch(images, LABELS[:count], K, config, np.random.default_rng(seed))
        assert mixed.shape == images.shape
        assert mixed.dtype == torch.float32
        assert targets.shape == (count, K)
        assert targets.dtype == torch.float32
        assert targets.min() >= 0
        torch.testing.assert_close(targets.sum(1), torch.ones(count), rtol=0, atol=1e-6)
    assert torch.equal(images, before)


def test_one_image_meets_itself() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed, targets = mix_batch(image, LABELS[:1], K, AugmentConfig(mixup=1.0), np.random.default_rng(0))
    torch.testing.assert_close(mixed, image)
    assert targets.argmax() == LABELS[0]


def test_shares_follow_beta_and_differ_within_a_batch() -> None:
    images = torch.zeros(4000, 1, 1, 1)
    for alpha in (0.2, 1.0, 8.0):
        _, share = mixup(images, alpha, np.random.default_rng(0))
        variance = 1 / (4 * (2 * alpha + 1))
        assert abs(share.mean().item() - 0.5) < 0.03
        assert share.var().item() == pytest.approx(variance, rel=0.1)


def test_cutmix_rectangles_can_touch_every_pixel() -> None:
    images = torch.arange(4000, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 6, 9).contiguous()
    mixed, share = cutmix(images, 1.0, np.random.default_rng(0))
    taken = (mixed != images).float().mean(0)
    # The same from every side: nothing leans to a corner.
    assert taken.min() > 0.15
    for mirrored in (taken.flip(1), taken.flip(2)):
        assert (taken - mirrored).abs().max() < 0.03
    torch.testing.assert_close((mixed == images).float().mean((1, 2, 3)), share)


def test_seed_fixes_everything() -> None:
    images = constant_images()
    config = AugmentConfig(mixup=0.8, cutmix=1.0)
    one, two = (mix_batch(images, LABELS, K, config, np.random.default_rng((5, 9))) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], mix_batch(images, LABELS, K, config, np.random.default_rng((5, 10)))[0])


def kinds(config: AugmentConfig) -> list[str]:
    """For 200 seeds: "same", "mixup" (values between samples) or "cutmix" (values of samples)."""
    images = constant_images()
    result = []
    for seed in range(200):
        mixed, targets = mix_batch(images, LABELS, K, config, np.random.default_rng(seed))
        assert targets.shape == (B, K)
        whole = (mixed == mixed.round()).all()
        result.append("same" if torch.equal(mixed, images) else "cutmix" if whole else "mixup")
    return result


def test_probability_and_switch() -> None:
    both = AugmentConfig(mixup=0.8, cutmix=1.0)
    seen = kinds(both)
    assert 75 < seen.count("cutmix") < 125
    assert seen.count("mixup") + seen.count("cutmix") == 200
    assert kinds(dataclasses.replace(both, mix_switch=1.0)) == ["cutmix"] * 200
    assert kinds(dataclasses.replace(both, mix_switch=0.0)) == ["mixup"] * 200
    rare = kinds(dataclasses.replace(both, mix_probability=0.25))
    assert 120 < rare.count("same") < 175
    assert kinds(AugmentConfig(mixup=0.8)) == ["mixup"] * 200
    assert kinds(AugmentConfig(cutmix=1.0)) == ["cutmix"] * 200


def test_bfloat16_images_keep_their_dtype() -> None:
    images = constant_images().to(torch.bfloat16)
    for config in (AugmentConfig(mixup=0.8), AugmentConfig(cutmix=1.0)):
        mixed, targets = mix_batch(images, LABELS, K, config, np.random.default_rng(0))
        assert mixed.dtype == torch.bfloat16
        assert targets.dtype == torch.float32


def test_bytes_are_refused() -> None:
    with pytest.raises(ConfigError, match="normalise first"):
        mix_batch(
            torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
            LABELS[:2],
            K,
            AugmentConfig(mixup=1.0),
            np.random.default_rng(0),
        )
