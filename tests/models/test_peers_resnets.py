"""timm's hybrids and BiT-ResNets: their constants, which are not the official ones, read and written."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vitascope as vs
from parity import LIMIT, families, parity
from peers import peer, randomise
from tiny_checkpoint import same
from vitascope.checkpoints.adapt import assemble
from vitascope.checkpoints.formats.raw import RawCheckpoint
from vitascope.checkpoints.formats.table import understand
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig, StemConfig
from wrapping import WRAPPED, under

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SMALL: dict[str, Any] = {"img_size": 64, "embed_dim": 128, "depth": 1, "num_heads": 2, "num_classes": 7}
HYBRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "hybrid R+ViT, root alone": ("vit_tiny_r_s16_p8_224", {}),
    "hybrid R50+ViT, 3 stages": ("vit_base_r50_s16_224", {"img_size": (64, 96)}),
    "hybrid R26+ViT, mean of the patches": ("vit_small_r26_s32_224", {"global_pool": "avg", "in_chans": 1}),
}


def images_for(args: dict[str, Any]) -> torch.Tensor:
    size = args["img_size"] if isinstance(args["img_size"], tuple) else (args["img_size"],) * 2
    return torch.randn(2, args.get("in_chans", 3), *size, generator=torch.Generator().manual_seed(1))


def resnet(name: str, **args: Any) -> Any:
    """Random, but as trained ones are: units change little, and so amplify no rounding."""
    model = randomise(peer("timm").create_model(name, **args))
    for name, module in model.named_modules():
        if name.endswith(("norm3", "blocks.0.conv3")):
            module.weight.mul_(0.1)
        if name.endswith(("stem.conv", "backbone.conv")):  # so small that what is added to the variance decides
            module.weight.mul_(1e-3)
    return model


def saved_by_timm(model: torch.nn.Module, folder: Path, args: dict[str, Any] | None = None) -> Path:
    peer("timm.models._hub").save_for_hf(model, folder, model_args=args, safe_serialization=True)
    return folder


@torch.inference_mode()
@families(HYBRIDS, ("timm", "vitascope"), ("vitascope", "timm"))
def test_a_hybrid_of_timm(family: str, tmp_path: Path) -> None:
    name, changes = HYBRIDS[family]
    args = SMALL | changes
    model, images = resnet(name, **args), images_for(args)
    ck = vs.load(saved_by_timm(model, tmp_path / "theirs", args))
    parity(family, "timm", "vitascope", ck.model(images), model(images))
    parity(family, "timm", "vitascope", ck.model.tokens(images), model.forward_features(images))
    exact = deepcopy(ck.model).double()(images.double()) - deepcopy(model).double()(images.double())
    assert float(exact.abs().max()) < 1e-9
    vs.save(ck, tmp_path / "ours", format="timm")
    back = peer("timm").create_model(f"local-dir:{tmp_path / 'ours'}", pretrained=True).eval()
    parity(family, "vitascope", "timm", ck.model(images), back(images))
    again = vs.load(tmp_path / "ours")
    assert (again.config, again.preprocess) == (ck.config, ck.preprocess)
    assert same(again.model, ck.model)
    official = StemConfig(units=ck.config.stem.units)  # type: ignore[union-attr]
    wrong = assemble(replace(ck.config, stem=official), ck.model.state_dict())
    assert float((wrong(images) - model(images)).abs().max()) > 100 * LIMIT


@torch.inference_mode()
@families(["BiT-ResNet, small"], ("timm", "vitascope"))
def test_a_small_resnet_of_timm_in_a_state_dict_alone(family: str, tmp_path: Path) -> None:
    timm, layers = peer("timm.models.resnetv2"), peer("timm.layers")
    convolution = partial(layers.StdConv2d, eps=1e-8)
    model = timm.ResNetV2([1, 2], (256, 512), num_classes=5, stem_type="fixed", conv_layer=convolution, width_factor=1)
    state = randomise(model).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    ck = vs.load(tmp_path / "a.safetensors", image_size=33)
    assert ck.config == BiTConfig(image_size=(33, 33), units=(1, 2), classes=5, kernel_eps=1e-8)
    images = torch.randn(2, 3, 33, 33)
    parity(family, "timm", "vitascope", ck.model(images), model(images))
    for kind in WRAPPED.keys() - {"MAE"}:
        torch.save(WRAPPED[kind](state), tmp_path / "a.pth")
        assert same(vs.load(tmp_path / "a.pth").model, ck.model), kind


def test_a_hybrids_stem_is_not_taken_for_a_resnet_in_a_wrapping() -> None:
    with torch.device("meta"):
        state = peer("timm").create_model("vit_small_r26_s32_224").state_dict()
    for prefix in ("", "module.", "backbone.", "encoder.model."):
        format, draft = understand(RawCheckpoint(tensors=under(prefix, state)))
        assert (format.name, draft.config.stem.units) == ("timm", (2, 2, 2, 2))  # type: ignore[union-attr]


@torch.inference_mode()
@families(["BiT-R50x1"], ("timm", "vitascope"), ("vitascope", "timm"))
def test_a_published_resnet_of_timm(family: str, tmp_path: Path) -> None:
    model = resnet("resnetv2_50x1_bit", num_classes=5)
    ck = vs.load(saved_by_timm(model, tmp_path / "theirs"), model="BiT-R50x1")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    parity(family, "timm", "vitascope", ck.model(images), model(images))
    vs.save(ck, tmp_path / "ours", format="timm")
    back = peer("timm").create_model(f"local-dir:{tmp_path / 'ours'}", pretrained=True).eval()
    parity(family, "vitascope", "timm", ck.model(images), back(images))
    again = vs.load(tmp_path / "ours")
    assert (again.config, again.preprocess, again.format) == (ck.config, ck.preprocess, "timm")
    assert same(again.model, ck.model)
    with pytest.raises(CheckpointError, match=r"kernel_eps 1e-08 where that would be read as 1e-10"):
        vs.save(ck, tmp_path / "x.npz", format="google")
