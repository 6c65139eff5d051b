"""Looking changes nothing, whatever happens meanwhile; and the parts add up to the whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vitascope as vs
from tiny_checkpoint import checkpoint, look
from vitascope import views
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.models.config import BiTConfig
from vitascope.views import capture as module
from vitascope.views.capture import captures

OF_IMAGES = {
    "attention": lambda model, images: views.attention(model, images)[1],
    "class_attention": views.class_attention,
    "attention_distance": views.attention_distance,
    "attended_share": views.attended_share,
    "rollout": views.rollout,
    "logit_lens": views.logit_lens,
    "token_norms": views.token_norms,
}


@pytest.mark.parametrize("training", [False, True])
def test_logits_are_the_same_bits_with_and_without_views(kind: tuple[Checkpoint, Tensor], training: bool) -> None:
    ck, images = kind
    model = ck.model
    with torch.no_grad():
        before = model(images)
        model.train(training)
        for name, view in OF_IMAGES.items():
            if name != "logit_lens" or ck.labels:
                view(model, images)
        if ck.labels and not training:
            torch.testing.assert_close(views.logit_lens(model, images)[:, -1], before, rtol=0, atol=0)
        assert {module.training for module in model.modules()} == {training}
        assert torch.equal(model.eval()(images), before)


def test_the_last_tokens_are_the_models_own(kind: tuple[Checkpoint, Tensor]) -> None:
    """The pass through the layers is written a second time in capture.py, so it is compared with the first."""
    ck, images = kind
    got = [ck.model.encoder.norm(c.tokens[-1]) for c in captures(ck.model, images, tokens=True)]
    with torch.no_grad():
        assert torch.equal(torch.cat(got), ck.model.tokens(images))


def test_modes_are_those_of_before_whatever_happens(
    plain: tuple[Checkpoint, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = plain[0].model, plain[1]
    model.encoder.blocks[2].train()  # a mode of its own
    modes = [m.training for m in model.modules()]

    def fail(*_: Any) -> Tensor:
        raise RuntimeError("out of memory")

    for where in (model.encoder.blocks[1].mlp, model.patches):
        with monkeypatch.context() as broken:
            broken.setattr(where, "forward", fail)
            with pytest.raises(RuntimeError, match="out of memory"):
                views.attention_distance(model, images)
        assert [m.training for m in model.modules()] == modes
    views.attention(model, images)
    assert [m.training for m in model.modules()] == modes
    started = captures(model.train(), images)
    next(started)
    assert all(m.training for m in model.modules())


def test_dropout_is_off_while_looking() -> None:
    import dataclasses

    from vitascope.models.catalogue import build_model

    ck = checkpoint()
    model = build_model(dataclasses.replace(ck.config, dropout=0.5)).train()
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(views.token_norms(model, images), views.token_norms(model, images))


def test_many_threads_look_at_one_model(plain: tuple[Checkpoint, Tensor]) -> None:
    model = plain[0].model
    several = [torch.randn(2, 3, 24, 24) for _ in range(24)]
    expected = [views.rollout(model, images) for images in several]
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda images: views.rollout(model, images), several))
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_chunks_make_no_difference(
    name: str, plain: tuple[Checkpoint, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = plain[0].model, plain[1]
    whole = OF_IMAGES[name](model, images)
    largest = 0
    of_layer = module.attention_weights

    def measured(q: Tensor, k: Tensor) -> Tensor:
        nonlocal largest
        weights = of_layer(q, k)
        largest = max(largest, weights.numel() * 4)
        return weights

    monkeypatch.setattr(module, "attention_weights", measured)
    for capture_bytes, weight_bytes in ((1, 2**24), (2**24, 1), (2**24, 700), (1, 1)):
        monkeypatch.setattr(module, "CAPTURE_BYTES", capture_bytes)
        monkeypatch.setattr(module, "WEIGHT_BYTES", weight_bytes)
        largest = 0
        torch.testing.assert_close(OF_IMAGES[name](model, images), whole, rtol=1e-5, atol=1e-6)
        assert largest <= max(weight_bytes, 2 * 10 * 4)  # at least one query in both heads


def test_the_model_runs_no_further_than_it_must(
    plain: tuple[Checkpoint, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = plain[0].model, plain[1]
    ran: list[int] = []
    for i, block in enumerate(model.encoder.blocks):
        block.attention.qkv.register_forward_pre_hook(lambda *_, i=i: ran.append(i))
        block.mlp.register_forward_hook(lambda *_, i=i: ran.append(10 * i))
    assert list(views.attention(model, images, layers=[1, 0, 1])) == [0, 1]
    assert ran == [0, 0, 1]  # both attentions, and the MLP of the first
    ran.clear()
    views.token_norms(model, images)
    assert ran == [0, 0, 1, 10, 2, 20]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_come_out_sensibly(plain: tuple[Checkpoint, Tensor], dtype: torch.dtype) -> None:
    model, images = plain[0].model, plain[1]
    exact = {name: view(model, images) for name, view in OF_IMAGES.items()}
    model = model.to(dtype)
    for name, view in OF_IMAGES.items():
        got = view(model, images)
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32), name
        limit = 1e-5 if dtype == torch.float64 else 0.1
        assert float((got - exact[name]).abs().max()) < limit * max(float(exact[name].abs().max()), 1), name
    weights = views.attention(model, images, 0)[0]
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-6)
    assert views.position_similarity(model).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert views.embedding_filters(model).isfinite().all()


def test_under_autocast_only_the_model_is_rounded(plain: tuple[Checkpoint, Tensor]) -> None:
    model, images = plain[0].model, plain[1]
    exact = views.rollout(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        got = views.rollout(model, images)
        weights = views.attention(model, images, 2)[2]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, exact, rtol=0, atol=0.02)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 10), rtol=0, atol=1e-6)


def test_results_carry_no_gradient(plain: tuple[Checkpoint, Tensor]) -> None:
    model, images = plain[0].model, plain[1].requires_grad_()
    for name, view in OF_IMAGES.items():
        result = view(model, images)
        assert not result.requires_grad
        assert not result.is_inference(), name


@pytest.mark.parametrize("layers", [[3], [-1], [], [0.5], "all", [None], 7, [[0]]])
def test_layers_that_the_model_does_not_have_are_refused(plain: tuple[Checkpoint, Tensor], layers: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected .*numbers from 0 to 2"):
        views.attention(plain[0].model, plain[1], layers)


def test_layers_come_in_any_form(plain: tuple[Checkpoint, Tensor]) -> None:
    for layers in (1, [1], (1,), {1}, range(1, 2), np.array([1]), torch.tensor([1]), iter([1])):
        assert list(views.attention(plain[0].model, plain[1], layers)) == [1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (torch.zeros(3, 24, 24), "expected a tensor"),
        (torch.zeros(0, 3, 24, 24), "1 or more"),
        (torch.zeros(1, 4, 24, 24), r"1 or more, 3, height"),
        (np.zeros((1, 3, 24, 24), dtype=np.float32), "images are ndarray, expected a tensor"),
        (torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "checkpoint.preprocess"),
        (torch.zeros(1, 3, 24, 25), "sides must be multiples of 8"),
    ],
)
def test_images_that_cannot_be_are_refused(plain: tuple[Checkpoint, Tensor], images: Any, expected: str) -> None:
    for view in OF_IMAGES.values():
        with pytest.raises(ConfigError, match=expected) as caught:
            view(plain[0].model, images)
        assert "\n" not in str(caught.value)


def test_a_resnet_is_refused_in_one_line() -> None:
    ck = checkpoint(BiTConfig(units=(1, 1, 1, 1), base_width=32, classes=3, small_images=True, image_size=(16, 16)))
    images = torch.zeros(1, 3, 16, 16)
    from vitascope.views.look import scope

    calls = [lambda view=view: view(ck.model, images) for view in OF_IMAGES.values()]
    calls += [lambda: views.position_similarity(ck.model), lambda: views.embedding_filters(ck.model)]
    calls += [lambda: look(ck, np.zeros((16, 16, 3), dtype=np.uint8)), lambda: scope(ck)]
    for call in calls:
        with pytest.raises(ConfigError, match="a BiT has no attention to look at; give a ViT") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_public_names_are_pinned() -> None:
    assert vs.views is views
    assert sorted(views.__all__) == views.__all__ == dir(views)
    for name in views.__all__:
        assert callable(getattr(views, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = views.nonsense
