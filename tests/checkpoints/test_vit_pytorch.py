"""vit-pytorch's ViT and SimpleViT, held against their formula; the package itself is no test's peer, since it imports
torchvision's compiled parts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

import vitascope as vs
from parity import families, parity
from tiny_checkpoint import TINY, checkpoint, noise, same
from vitascope.errors import CheckpointError
from vitascope.layers.position import sincos_positions

PEER = "vit-pytorch's formula"
WIDTH, DEPTH, HIDDEN, PATCH, SIDE, CLASSES = 128, 2, 96, 8, 24, 5
Tensors = dict[str, Tensor]
KINDS: dict[str, dict[str, Any]] = {
    "vit-pytorch, class token": {},
    "vit-pytorch, mean": {"token": False},
    "vit-pytorch, wider heads than the model": {"heads": 4},
    "vit-pytorch, one head as wide as the model": {"heads": 1, "inner": WIDTH, "out": False},
    "vit-pytorch, before 2023": {"old": True},
    "vit-pytorch, SimpleViT": {"token": False, "simple": True},
}


def drawn(
    heads: int = 2, token: bool = True, simple: bool = False, out: bool = True, old: bool = False, **sizes: int
) -> Tensors:
    """A state dict under today's names, with nothing at zero or one."""
    inner = sizes.get("inner", 64 * heads)
    pixels = PATCH * PATCH * 3
    shapes: dict[str, tuple[int, ...]] = {
        "to_patch_embedding.1.weight": (pixels,),
        "to_patch_embedding.1.bias": (pixels,),
        "to_patch_embedding.2.weight": (WIDTH, pixels),
        "to_patch_embedding.2.bias": (WIDTH,),
        "to_patch_embedding.3.weight": (WIDTH,),
        "to_patch_embedding.3.bias": (WIDTH,),
        "cls_token": (int(token), WIDTH),
        "pos_embedding": ((SIDE // PATCH) ** 2 + token, WIDTH),
        "transformer.norm.weight": (WIDTH,),
        "transformer.norm.bias": (WIDTH,),
        "mlp_head.weight": (CLASSES, WIDTH),
        "mlp_head.bias": (CLASSES,),
    }
    for i in range(DEPTH):
        attention, mlp = (f"transformer.layers.{i}.{part}" for part in (0, 1))
        shapes |= {f"{attention}.norm.weight": (WIDTH,), f"{attention}.norm.bias": (WIDTH,)}
        shapes |= {f"{attention}.to_qkv.weight": (3 * inner, WIDTH)}
        shapes |= (
            {f"{attention}.to_out.0.weight": (WIDTH, inner), f"{attention}.to_out.0.bias": (WIDTH,)} if out else {}
        )
        shapes |= {f"{mlp}.net.0.weight": (WIDTH,), f"{mlp}.net.0.bias": (WIDTH,)}
        shapes |= {f"{mlp}.net.1.weight": (HIDDEN, WIDTH), f"{mlp}.net.1.bias": (HIDDEN,)}
        shapes |= {f"{mlp}.net.4.weight": (WIDTH, HIDDEN), f"{mlp}.net.4.bias": (WIDTH,)}
    tensors = {name: noise(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items())}
    for name, t in tensors.items():  # norms near one, the rest so that activations stay near one
        norm = t.ndim == 1 and name.endswith("weight")
        tensors[name] = 1 + 0.1 * t if norm else 0.2 * t if t.ndim == 1 or "." not in name else t / t.shape[1] ** 0.5
    if simple:
        tensors["pos_embedding"] = sincos_positions((SIDE // PATCH,) * 2, WIDTH)[0]
        for i in range(DEPTH):
            tensors[f"transformer.layers.{i}.0.to_out.0.bias"].zero_()
    if old:
        del tensors["to_patch_embedding.1.weight"], tensors["to_patch_embedding.1.bias"]
        del tensors["to_patch_embedding.3.weight"], tensors["to_patch_embedding.3.bias"]
    return tensors


def formula(p: Tensors, images: Tensor, heads: int) -> Tensor:
    """Logits of these tensors, under today's names."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))

    # (B, C, r·p1, c·p2) → (B, r·c, p1·p2·C)
    x = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
    if "to_patch_embedding.1.weight" in p:
        x = norm(linear(norm(x, "to_patch_embedding.1"), "to_patch_embedding.2"), "to_patch_embedding.3")
    else:
        x = linear(x, "to_patch_embedding.2")
    x = torch.cat([p["cls_token"].expand(len(x), -1, -1), x], dim=1) + p["pos_embedding"]
    for i in range(DEPTH):
        attention, mlp = (f"transformer.layers.{i}.{part}" for part in (0, 1))
        q, k, v = (
            part.unflatten(2, (heads, -1)).transpose(1, 2)
            for part in linear(norm(x, f"{attention}.norm"), f"{attention}.to_qkv").chunk(3, dim=-1)
        )
        y = ((q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        x = x + (linear(y, f"{attention}.to_out.0") if f"{attention}.to_out.0.weight" in p else y)
        x = x + linear(F.gelu(linear(norm(x, f"{mlp}.net.0"), f"{mlp}.net.1")), f"{mlp}.net.4")
    x = norm(x, "transformer.norm")
    return linear(x[:, 0] if len(p["cls_token"]) else x.mean(dim=1), "mlp_head")


def stored(p: Tensors, simple: bool = False, old: bool = False, **_: Any) -> Tensors:
    """As this version of the package names them."""
    names = {name: name for name in p}
    if simple:
        names = {
            name: name.replace("to_out.0.", "to_out.").replace("net.4.", "net.3.").replace("mlp_head.", "linear_head.")
            for name in p
            if name not in ("cls_token", "pos_embedding") and not name.endswith("to_out.0.bias")
        }
    if old:
        for before, after in (
            ("to_patch_embedding.2.", "to_patch_embedding.1."),
            ("transformer.norm.", "mlp_head.0."),
            (".1.net.0.", ".1.norm."),
            (".1.net.1.", ".1.fn.net.0."),
            (".1.net.4.", ".1.fn.net.3."),
            (".0.to_", ".0.fn.to_"),
        ):
            names = {name: there.replace(before, after) for name, there in names.items()}
        names |= {name: name.replace("mlp_head.", "mlp_head.1.") for name in ("mlp_head.weight", "mlp_head.bias")}
    tensors = {there: p[name] for name, there in names.items()}
    return {name: t[None] if old and "." not in name else t for name, t in tensors.items()}


def loaded(family: str, folder: Path) -> tuple[vs.Checkpoint, Tensors, int]:
    kind = KINDS[family]
    p, heads = drawn(**kind), kind.get("heads", 2)
    torch.save(stored(p, **kind), folder / "theirs.pth")
    stated = None
    if "inner" in kind:  # otherwise two heads of 64 are assumed
        stated = replace(vs.load(folder / "theirs.pth").config, heads=1)
    ck = vs.load(folder / "theirs.pth", image_size=SIDE if kind.get("simple") else None, model=stated)
    return ck, p, heads


@torch.inference_mode()
@families(KINDS, (PEER, "vitascope"))
def test_read(family: str, tmp_path: Path) -> None:
    ck, p, heads = loaded(family, tmp_path)
    images = noise(3, 3, SIDE, SIDE)
    assert ck.format == "vit-pytorch"
    parity(family, PEER, "vitascope", ck.model(images), formula(p, images, heads))
    assert ck.model.tokens(images).shape == (3, ck.config.tokens, WIDTH)
    if KINDS[family].get("simple"):  # which can be made for any size
        larger, grid = noise(2, 3, 40, 16), (5, 2)
        p["pos_embedding"] = sincos_positions(grid, WIDTH)[0]
        parity(family, PEER, "vitascope", ck.model(larger), formula(p, larger, heads))


@torch.inference_mode()
@families([name for name in KINDS if "one head" not in name and "before" not in name], ("vitascope", PEER))
def test_written(family: str, tmp_path: Path) -> None:
    ck, _, heads = loaded(family, tmp_path)
    vs.save(ck, tmp_path / "ours.safetensors", format="vit-pytorch")
    written, images = load_file(tmp_path / "ours.safetensors"), noise(3, 3, SIDE, SIDE)
    assert {n: t.shape for n, t in written.items()} == {
        n: t.shape for n, t in drawn(**{**KINDS[family], "simple": False}).items()
    }  # which load_state_dict takes
    parity(family, "vitascope", PEER, ck.model(images), formula(written, images, heads))
    again = vs.load(tmp_path / "ours.safetensors")
    assert again.preprocess == ck.preprocess
    if not KINDS[family].get("simple"):  # whose positions become a table
        assert again.config == ck.config
        assert same(again.model, ck.model)


@pytest.mark.parametrize("family", ["vit-pytorch, one head as wide as the model", "vit-pytorch, before 2023"])
def test_what_the_class_of_today_cannot_be_is_refused(family: str, tmp_path: Path) -> None:
    ck, _, _ = loaded(family, tmp_path)
    with pytest.raises(CheckpointError, match=r"one head as wide|no LayerNorms around"):
        vs.save(ck, tmp_path / "ours.pth", format="vit-pytorch")


def test_channels_that_nothing_tells(tmp_path: Path) -> None:
    config = replace(TINY, patch_norms=True, qkv_bias=False, gelu="erf", norm_eps=1e-5)
    for channels, told in ((1, True), (3, True), (2, False)):
        ck = checkpoint(replace(config, channels=channels))
        p = stored({**drawn(), "to_patch_embedding.2.weight": noise(WIDTH, PATCH * PATCH * channels)})
        p |= {f"to_patch_embedding.1.{end}": noise(PATCH * PATCH * channels) for end in ("weight", "bias")}
        save_file(p, tmp_path / "a.safetensors")
        if told:
            assert vs.load(tmp_path / "a.safetensors").config.channels == channels
            continue
        with pytest.raises(CheckpointError, match="no squares of 3 channels"):
            vs.load(tmp_path / "a.safetensors")
        stated = replace(ck.config, width=WIDTH, heads=2, hidden=HIDDEN, depth=DEPTH, classes=CLASSES)
        assert vs.load(tmp_path / "a.safetensors", model=replace(stated, image_size=(SIDE, SIDE))).config.channels == 2


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (
            {"transformer.layers.0.0.to_qkv.weight": (3 * 2**17, 1), "to_patch_embedding.2.weight": (2**17, 3)},
            "check its sizes",
        ),
        ({"transformer.layers.0.0.to_qkv.weight": (1, 128)}, "heads"),
        ({"to_patch_embedding.2.weight": (128, 7)}, "no squares of 3 channels"),
        ({"cls_token": (1, 64)}, "cls_token is 1×1×64, expected 1×1×128"),
        ({"transformer.layers.1.0.to_out.0.weight": (128, 64)}, "to_out"),
    ],
)
def test_shapes_that_cannot_be_are_one_line(shapes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    one_head = "to_patch_embedding.2.weight" in shapes  # whose output would be as large as the square of the claim
    wrong = drawn(out=not one_head) | {name: torch.zeros(shape) for name, shape in shapes.items()}
    save_file(wrong, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=expected):
        vs.load(tmp_path / "a.safetensors")
