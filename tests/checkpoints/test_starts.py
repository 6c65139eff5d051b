"""The table of starts: every row's config can be made, and where timm has the model it agrees on the parameters."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import pytest
import torch

import vitascope as vs
from depot import Depot
from peers import peer
from vitascope.checkpoints.named import is_name, nearest
from vitascope.checkpoints.starts import OFFICIAL, STARTS, Start
from vitascope.models.catalogue import count_parameters, forward_flops

OURS = next(start for start in STARTS if start.name == "start")
PAPER = "google/vit-base-patch16-224-in21k"
LIGHT = [
    start
    for start in STARTS
    if start.name not in (PAPER, OURS.name)
    and (count_parameters(start.config()) < 29e6 or start.family == "SigLIP 2" or "32_clip" in start.name)
]
"""Of the large ones those whose config has fields that no light one has."""


def by_name(start: Start) -> str:
    return start.name


def test_names_are_names_and_stand_once() -> None:
    assert len({start.name for start in STARTS}) == len(STARTS) >= 20
    for start in STARTS:
        assert is_name(start.name)
        assert (start.top1 is None) == (start.source == "") == (start.judged == "")
    assert STARTS[-1].name == OURS.name  # the last that is taken, where nothing else is here


@pytest.mark.parametrize("start", STARTS, ids=by_name)
def test_every_config_can_be_made_and_counted(start: Start) -> None:
    assert start.config(start.counted_at).image_size == (start.counted_at,) * 2
    assert (2e6 if start is OURS else 5e6) < count_parameters(start.config()) < 4e8


@pytest.mark.parametrize("family", sorted({start.family for start in STARTS} - {OURS.family}))
def test_operations_are_counted_of_every_family(family: str) -> None:
    first = next(start for start in STARTS if start.family == family)
    assert 2e9 < forward_flops(first.config(224)) < 5e10


@pytest.mark.peers
@pytest.mark.parametrize("start", [start for start in STARTS if start is not OURS], ids=by_name)
def test_timm_agrees(start: Start) -> None:
    models = peer("timm").models
    name = "vit_base_patch16_224.orig_in21k" if start.name == PAPER else start.name.removeprefix("timm/")
    cfg = models.get_pretrained_cfg(name)
    assert cfg.license.lower() == start.licence.lower()
    assert cfg.input_size == (3, start.pixels, start.pixels)
    assert timms_count(name.partition(".")[0]) == count_parameters(start.config())


@pytest.mark.peers
@pytest.mark.parametrize("start", LIGHT, ids=by_name)
def test_the_config_is_that_of_what_loads(start: Start, tmp_path: Path) -> None:
    models = peer("timm").models
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = models.create_model(start.name.removeprefix("timm/"), pretrained=False, num_classes=0)
    models.save_for_hf(theirs, tmp_path / "hub", safe_serialization=True)
    assert vs.load(tmp_path / "hub").config == start.config()


@pytest.mark.peers
def test_the_official_names_are_those_of_timms_addresses() -> None:
    models = peer("timm").models
    urls = {models.get_pretrained_cfg(tag).url or "" for tag in models.list_pretrained("vit_*")}
    for name in OFFICIAL:
        assert is_name(name)
        if "augreg" in name or "sam/" in name:
            assert f"https://storage.googleapis.com/vit_models/{name.removeprefix('google:')}.npz" in urls


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
    assert nearest("google:BiT-M-R50x2") == "; did you mean 'google:BiT-M-R50x3'?"
    assert nearest("ViT-B_16") == "; did you mean 'google:imagenet21k/ViT-B_16'?"
    assert nearest("photos") == nearest(STARTS[0].name) == ""
    assert depot.asked == []


def test_the_page_says_how_many_there_are() -> None:
    page = Path(__file__).parents[2] / "docs" / "checkpoints.md"
    assert f"`vitascope models --starts` lists {len(STARTS)} starts" in page.read_text(encoding="utf-8")
