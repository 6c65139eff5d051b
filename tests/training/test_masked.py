"""Masked images: what is drawn, what there is to say of a patch (B.1.2), losses by hand, and what processes share."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny import FIELDS, PLAIN, SIDE, pixels, source
from vitascope.data.batches import training_batches
from vitascope.data.preprocess import Preprocess
from vitascope.errors import DivergedError
from vitascope.models.catalogue import create_model
from vitascope.models.initialise import initialise_masked
from vitascope.models.masked import Masked, masked_model
from vitascope.models.masked_config import MaskedConfig
from vitascope.models.vit import ViT
from vitascope.training.job import Job
from vitascope.training.masked import MaskedImages, MaskedTally
from vitascope.training.masked_targets import colours, corrupted, normalised, parted, patches_at, reduced
from vitascope.training.objective import evaluate
from vitascope.training.parallel import World
from vitascope.training.state import new_state
from vitascope.training.step import training_step
from vitascope.training.train_settings import TrainSettings

KINDS = [
    MaskedConfig(),
    MaskedConfig(target="colour", share=0.5),
    MaskedConfig(autoencoder=False),
    MaskedConfig(autoencoder=False, target="colour"),
    MaskedConfig(autoencoder=False, target="colours"),
    MaskedConfig(autoencoder=False, target="pixels", share=0.15),
]


def made(tmp_path: Path, masked: MaskedConfig, **changes: Any) -> tuple[Job, Masked]:
    vit = create_model(
        "ViT-Ti/4", **{**FIELDS, "classes": 0, "image_size": SIDE}, generator=torch.Generator().manual_seed(0)
    )
    assert isinstance(vit, ViT)
    model = masked_model(vit, masked)
    initialise_masked(model, torch.Generator().manual_seed(1))
    values = {"steps": 4, "batch": 6, "lr": 0.01, "warmup": 0.0, "augment": PLAIN, "precision": "float32", **changes}
    job = Job(
        settings=TrainSettings(**values),
        steps=4,
        train=source(),
        validation=None,
        preprocess=Preprocess(size=(SIDE, SIDE)),
        folder=tmp_path,
        kind=partial(MaskedImages, masked=masked, config=vit.config),
    )
    return job, model


def uint8(count: int = 4, seed: int = 0) -> Tensor:
    return torch.from_numpy(pixels(count, seed)[0].transpose(0, 3, 1, 2).copy())


def test_colours_are_those_of_loops_over_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    images[0, :, :8, :8] = 32  # at a level's very end
    places = torch.tensor([[0, 3, 2], [1, 0, 3]])
    patches = patches_at(torch.from_numpy(images), places, 8)
    mean, cells = colours(patches, 3), reduced(patches, 3)
    assert mean.shape == (2, 3, 1)
    assert cells.shape == (2, 3, 16)
    for b in range(2):
        for m, place in enumerate(places[b].tolist()):
            row, column = divmod(place, 2)
            patch = images[b, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].astype(int)
            levels = [int(patch[c].sum()) // 64 // 32 for c in range(3)]
            assert mean[b, m, 0] == levels[0] * 64 + levels[1] * 8 + levels[2]
            for cell in range(16):
                y, x = divmod(cell, 4)
                part = patch[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                r, g, blue = (int(part[c].sum()) // 4 // 32 for c in range(3))
                assert cells[b, m, cell] == r * 64 + g * 8 + blue
    assert mean[0, 0, 0] == 64 + 8 + 1
    assert colours(torch.full((1, 1, 12), 255, dtype=torch.uint8), 3) == 511
    assert colours(torch.full((1, 1, 4), 255, dtype=torch.uint8), 1) == 7


def test_normalised_patches_are_the_autoencoders() -> None:
    patches = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0)) * 5 + 3
    expected = torch.stack([(p - p.mean()) / (p.var() + 1e-6) ** 0.5 for p in patches.flatten(0, 1)]).view(2, 3, 12)
    torch.testing.assert_close(normalised(patches), expected)
    assert torch.equal(normalised(torch.ones(1, 1, 12)), torch.zeros(1, 1, 12))


def test_half_is_corrupted_of_which_eight_tenths_are_masked_and_one_tenth_another_patch() -> None:
    rng = np.random.default_rng(0)
    hidden, shown = parted(2000, 64, 32, rng)
    assert np.array_equal(np.sort(np.concatenate([hidden, shown], axis=1)), np.tile(np.arange(64), (2000, 1)))
    often = np.bincount(hidden.ravel(), minlength=64) / 2000
    assert often.min() > 0.45
    assert often.max() < 0.55
    standing = corrupted(hidden, 64, rng)
    np.testing.assert_array_equal(np.take_along_axis(standing, shown, 1), shown)  # others are left alone
    those = np.take_along_axis(standing, hidden, 1)
    masked, same = (those == 64).mean(), (those == hidden).mean()
    assert masked == pytest.approx(0.8, abs=0.01)
    assert same == pytest.approx(0.1, abs=0.01)
    replaced = those[(those != 64) & (those != hidden)]
    assert np.bincount(replaced, minlength=64).min() > 60  # any other patch, 6,400 over 64


@pytest.mark.parametrize("masked", KINDS)
def test_a_step_is_drawn_from_the_seed_and_the_step_and_shared_by_processes(
    tmp_path: Path, masked: MaskedConfig
) -> None:
    objective = made(tmp_path, masked)[0].objective
    labels = torch.zeros(4, dtype=torch.int64)
    whole = objective.prepare(uint8(), labels, 3, World())
    again = objective.prepare(uint8(), labels, 3, World())
    other = objective.prepare(uint8(), labels, 4, World())
    parts = [
        objective.prepare(uint8()[2 * rank : 2 * rank + 2], labels[:2], 3, World(rank=rank, size=2)) for rank in (0, 1)
    ]
    for side in (0, 1):
        for number, tensor in enumerate(whole[side]):
            assert torch.equal(tensor, again[side][number])
            assert torch.equal(tensor, torch.cat([part[side][number] for part in parts]))
    assert not torch.equal(whole[0][1], other[0][1])


@pytest.mark.parametrize("masked", KINDS)
def test_the_first_loss_is_that_of_saying_nothing(tmp_path: Path, masked: MaskedConfig) -> None:
    job, model = made(tmp_path, masked)
    objective = job.objective
    asked, answers = objective.prepare(uint8(), torch.zeros(4), 0, World())
    loss = float(objective.loss(model(*asked), answers).detach())
    expected = np.log(512) if masked.tells_classes else float(answers[0].square().mean())
    assert loss == pytest.approx(expected, rel=1e-6)
    images = asked[0]  # B, 3, 16, 16 of 4×4 patches
    if masked.target == "pixels":
        place = int(asked[1][1, 0])
        row, column = divmod(place, 4)
        patch = images[1, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        torch.testing.assert_close(answers[0][1, 0], patch.permute(1, 2, 0).flatten())


@pytest.mark.parametrize("masked", KINDS)
def test_gradients_are_those_of_finite_differences(tmp_path: Path, masked: MaskedConfig) -> None:
    job, model = made(tmp_path, masked)
    objective, model = job.objective, model.double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    (images, hidden, shown), answers = objective.prepare(uint8(), torch.zeros(4), 0, World())

    def loss() -> Tensor:
        output = model(images.double(), hidden, shown)
        if masked.tells_classes:
            cells = answers[0].shape[-1]
            logs = output.reshape(*output.shape[:2], cells, 512).log_softmax(-1)
            return -logs.gather(-1, answers[0][..., None]).mean()
        return (output - answers[0]).square().mean()

    loss().backward()
    with torch.no_grad():
        own = objective.loss(model(images.double(), hidden, shown), answers)
        torch.testing.assert_close(own.double(), loss(), rtol=1e-5, atol=0)
    for name, parameter in list(model.named_parameters())[:: max(len(list(model.parameters())) // 8, 1)]:
        place, step = parameter.numel() // 3, 1e-5
        gradient = float(parameter.grad.flatten()[place])
        with torch.no_grad():
            ends = []
            for sign in (1, -1):
                parameter.view(-1)[place] += sign * step
                ends.append(float(loss()))
                parameter.view(-1)[place] -= sign * step
        assert gradient == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-8), name


@pytest.mark.parametrize("masked", [KINDS[0], KINDS[4]])
def test_one_batch_can_be_learned_by_heart(tmp_path: Path, masked: MaskedConfig) -> None:
    job, model = made(tmp_path, masked, batch=4, steps=120)
    state = new_state(model.train(), job.settings)
    batch = next(training_batches(job.train, job.transform(), job.order(World()), 0, 1))
    first = None
    for _ in range(120):
        state.counters.step, state.counters.loss_sum = 0, 0.0  # the same draw each time
        training_step(job, state, model, batch, World())
        first = first or state.counters.loss_sum
    assert state.counters.loss_sum < 0.4 * first


@pytest.mark.parametrize("masked", KINDS)
@pytest.mark.parametrize("micro", [1, 4])
def test_accumulated_gradients_equal_those_of_the_full_batch(tmp_path: Path, masked: MaskedConfig, micro: int) -> None:
    weights = []
    for size in (None, micro):
        job, model = made(tmp_path, masked, micro_batch=size, optimizer="sgd", lr=0.1)
        state = new_state(model.train(), job.settings)
        for step, batch in enumerate(training_batches(job.train, job.transform(), job.order(World()), 0, 2)):
            assert state.counters.step == step
            training_step(job, state, model, batch, World())
        weights.append([p.detach().clone() for p in model.parameters()])
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("masked", KINDS)
def test_an_evaluation_is_the_same_in_any_batches_and_processes(tmp_path: Path, masked: MaskedConfig) -> None:
    job, model = made(tmp_path, masked)
    model.eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    held = source(11)
    whole = evaluate(job.objective, model, held, World(), batch=11)
    parts = [evaluate(job.objective, model, held, World(rank=rank, size=2), batch=3) for rank in (0, 1)]
    total = job.objective.tally()
    total.over(SimpleNamespace(sum=lambda _: parts[0].sums + parts[1].sums))
    assert total.summary() == pytest.approx(whole.summary(), rel=1e-5)
    assert whole.images == 11
    assert ("colours" in whole.summary()) == masked.tells_classes
    assert whole.score == -whole.summary()["loss"]


def test_what_is_not_finite_is_no_figure() -> None:
    with pytest.raises(DivergedError, match="not finite"):
        MaskedTally(tells_classes=False).add(torch.tensor([[float("nan"), 0.0]]), torch.zeros(1))
