from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints import tensor_file
from vitascope.checkpoints.load import load
from vitascope.checkpoints.save import save
from vitascope.checkpoints.tensor_file import read_tensors
from vitascope.checkpoints.unwrap import anchor, unwrap
from vitascope.errors import CheckpointError

STATE = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3).half()}


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_ema"])
@pytest.mark.parametrize("modern", [True, False])
def test_state_dicts_are_found(wrapper: str | None, modern: bool, tmp_path: Path) -> None:
    content = {wrapper: {f"module.{k}": v for k, v in STATE.items()}, "epoch": 3} if wrapper else STATE
    torch.save(content, tmp_path / "any", _use_new_zipfile_serialization=modern)
    number, taken = unwrap(read_tensors(tmp_path / "any").tensors, [anchor("nothing"), anchor(r"a\.bias")], tmp_path)
    assert number == 1
    assert taken.keys() == STATE.keys()
    assert all(torch.equal(taken[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("place", ["beside", "inside", "alone"])
def test_no_code_runs(place: str, modern: bool, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = Canary(canary)
    content = {"beside": {"state_dict": STATE, "args": evil}, "inside": {**STATE, "x": evil}, "alone": evil}[place]
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=modern)
    with pytest.raises(CheckpointError, match="never loaded") as caught:
        read_tensors(tmp_path / "evil.pth")
    assert "\n" not in str(caught.value)
    assert "evil.pth" in str(caught.value)
    assert not canary.exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)  # the canary is real
    assert canary.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_are_refused(protocol: int, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "model.npz").write_bytes(pickle.dumps({"a": Canary(canary)}, protocol=protocol))
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / "model.npz")
    assert not canary.exists()


def test_a_distributed_checkpoint_is_not_opened(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / ".metadata").write_bytes(pickle.dumps(Canary(canary), protocol=4))
    (tmp_path / "__0_0.distcp").write_bytes(pickle.dumps(Canary(canary), protocol=4))
    for path in (tmp_path, tmp_path / ".metadata", tmp_path / "__0_0.distcp"):
        with pytest.raises(CheckpointError):
            load(path)
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / ".metadata")
    assert not canary.exists()


def test_one_number_does_not_claim_to_be_a_model(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"claims 4\.0 TiB of tensors that it does not store"):
        read_tensors(tmp_path / "a.pth")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(1 << 18)}, stream)
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        read_tensors(tmp_path / "a.pth")


def test_damage_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for modern in (True, False):
        torch.save(STATE, path, _use_new_zipfile_serialization=modern)
        whole = path.read_bytes()
        for length in range(0, len(whole) - 1, len(whole) // 19):
            path.write_bytes(whole[:length])
            with pytest.raises(CheckpointError) as caught:
                read_tensors(path)
            assert "\n" not in str(caught.value)


def test_other_contents_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, what in (
        (torch.ones(3), "holds a Tensor"),
        ([1, 2], "holds a list"),
        ({}, "holds a dict"),
    ):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=what):
            read_tensors(tmp_path / "a.pth")
    torch.save(STATE, tmp_path / "a.pth")
    monkeypatch.setattr(tensor_file, "MAX_BYTES", 100)
    with pytest.raises(CheckpointError, match="at most"):
        read_tensors(tmp_path / "a.pth")


def test_views_and_shared_memory_become_tensors_of_their_own(tmp_path: Path) -> None:
    save(checkpoint(replace(TINY, gelu="erf", width=64, heads=1)), tmp_path / "out", format="timm")
    tensors = read_tensors(tmp_path / "out" / "model.safetensors").tensors
    base = torch.arange(1000.0)
    tensors |= {"norm.weight": base[2:66], "norm.bias": base[2:66]}
    torch.save(tensors, tmp_path / "a.pth")
    norm = load(tmp_path / "a.pth").model.encoder.norm
    norm.weight.detach().zero_()
    assert norm.bias.tolist() == base[2:66].tolist()
    assert norm.bias.untyped_storage().nbytes() == 4 * 64


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.index(torch.ones(9).numpy().tobytes()) + 5] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    torch.load(tmp_path / "a.pth", weights_only=True)  # which does not
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(tmp_path / "a.pth")


def test_settings_of_a_training_script_are_data_and_nothing_else_is(tmp_path: Path) -> None:
    settings = argparse.Namespace(model="vit_tiny_patch16_224", lr=1e-3, betas=(0.9, 0.95), deep={"a": [None, True]})
    torch.save({"model": STATE, "args": settings}, tmp_path / "a.pth")
    content = read_tensors(tmp_path / "a.pth")
    assert content.metadata == {"args.model": "vit_tiny_patch16_224"}
    canary = tmp_path / "canary"
    for evil in (argparse.Namespace(x=Canary(canary)), Path("x"), {"y": Canary(canary)}):
        torch.save({"model": STATE, "args": evil}, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match="never loaded"):
            read_tensors(tmp_path / "a.pth")
    assert not canary.exists()


def test_a_dictionary_that_holds_itself_or_ever_more_ends(tmp_path: Path) -> None:
    loop: dict[str, object] = {"a": torch.ones(1)}
    loop["b"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    assert len(read_tensors(tmp_path / "loop.pth").tensors) < 20
    many: dict[str, object] = {"a": torch.ones(1)}
    for _ in range(7):
        many = {str(n): many for n in range(40)}
    torch.save(many, tmp_path / "many.pth")
    with pytest.raises(CheckpointError, match="more than"):
        read_tensors(tmp_path / "many.pth")
