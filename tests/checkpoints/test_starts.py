"""The table of starts: every row's config can be made, and where timm has the model it agrees on the parameters."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch

from depot import Depot
from peers import peer
from vitascope.checkpoints.named import is_name, nearest
from vitascope.checkpoints.starts import STARTS, Start
from vitascope.models.catalogue import count_parameters

OTHERS = {
    "google/vit-base-patch16-224-in21k": "vit_base_patch16_224.orig_in21k",
    "google:BiT-M-R50x1": "resnetv2_50x1_bit.goog_in21k",
    "google:BiT-M-R101x1": "resnetv2_101x1_bit.goog_in21k",
}
"""timm's names of what does not come from timm, and whose address it does not tell either."""


def by_name(start: Start) -> str:
    return start.name


def test_names_are_names_and_stand_once() -> None:
    assert len({start.name for start in STARTS}) == len(STARTS) >= 20
    for start in STARTS:
        assert is_name(start.name)
        assert (start.top1 is None) == (start.source == "") == (start.judged == "")


@pytest.mark.parametrize("start", STARTS, ids=by_name)
def test_every_config_can_be_made_and_counted(start: Start) -> None:
    assert start.config(224).image_size == (224, 224)
    assert 5e6 < count_parameters(start.config()) < 4e8


@pytest.mark.peers
@pytest.mark.parametrize("start", STARTS, ids=by_name)
def test_timm_agrees(start: Start) -> None:
    models = peer("timm").models
    name = OTHERS.get(start.name, start.name.removeprefix("timm/"))
    if start.name.startswith("google:augreg"):
        file = f"/vit_models/{start.name.removeprefix('google:')}.npz"
        known = {tag: models.get_pretrained_cfg(tag) for tag in models.list_pretrained("vit_*_r*")}
        (name,) = [tag for tag, cfg in known.items() if (cfg.url or "").endswith(file)]
    cfg = models.get_pretrained_cfg(name)
    assert cfg.license.lower() == start.licence.lower()
    assert cfg.input_size == (3, start.pixels, start.pixels)
    assert timms_count(name.partition(".")[0]) == count_parameters(start.config())


@cache
def timms_count(architecture: str) -> int:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peer("timm").models.create_model(architecture, num_classes=0)
    return sum(parameter.numel() for parameter in model.parameters())


def test_what_is_nearly_a_start_is_suggested(depot: Depot) -> None:
    said = "; did you mean 'timm/vit_small_patch16_224.augreg_in21k'?"
    for name in ("timm/vit_small_patch16_224_augreg_in21k", "vit_small_patch16_224.augreg_in21k"):
        assert nearest(name) == said
    assert nearest("google:BiT-M-R50x2") == "; did you mean 'google:BiT-M-R50x1'?"
    assert nearest("photos") == nearest(STARTS[0].name) == ""
    assert depot.asked == []
