"""Checkpoints to resume from: complete or not there, and never trusted when a byte is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from vitascope.errors import CheckpointError
from vitascope.training.state import Counters, TrainState, load_state, new_state, save_state, saved_states
from vitascope.training.train_settings import TrainSettings


def state(seed: int = 0, optimizer: str = "adamw") -> TrainState:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    made = new_state(net, TrainSettings(steps=9, ema=0.9, optimizer=optimizer))
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    made.optimizer.step()
    assert made.ema is not None
    made.ema.update(net, 0)
    made.counters = Counters(step=7, evaluated=6, best=0.25, best_step=6, loss_sum=1 / 3, loss_steps=1, record_lines=99)
    return made


def at(made: TrainState, step: int) -> TrainState:
    made.counters = dataclasses.replace(made.counters, step=step)
    return made


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_was_saved_is_loaded_to_the_last_bit(tmp_path: Path, optimizer: str) -> None:
    saved = state(0, optimizer)
    path = save_state(tmp_path, saved, keep=2)
    loaded = state(1, optimizer)
    loaded.optimizer.state.clear()
    load_state(path, loaded)
    assert loaded.counters == saved.counters
    assert saved.ema is not None
    assert loaded.ema is not None
    for (name, a), b in zip(saved.model.named_parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(saved.ema.tensors[name], loaded.ema.tensors[name])
        slots, again = saved.optimizer.state[a], loaded.optimizer.state[b]
        assert set(slots) == set(again) != set()
        assert all(torch.equal(slots[slot], again[slot]) for slot in slots)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_the_optimizer_is_loaded_to_where_the_weights_are(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).to("meta")
    elsewhere = new_state(net, TrainSettings(steps=9, ema=0.9))
    load_state(path, elsewhere)
    slots = [tensor for held in elsewhere.optimizer.state.values() for tensor in held.values()]
    assert len(slots) == 12
    assert all(tensor.is_meta for tensor in slots)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    made = state()
    for step in (1, 2, 3, 10):
        save_state(tmp_path, at(made, step), keep=2)
    assert [path.name for path in saved_states(tmp_path)] == ["step-00000003", "step-00000010"]
    assert sorted(os.listdir(tmp_path)) == ["step-00000003", "step-00000010"]


def test_what_a_killed_remover_left_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    made = state()
    half = save_state(tmp_path, at(made, 1), keep=2)
    (half / "counters.json").unlink()
    assert saved_states(tmp_path) == []
    save_state(tmp_path, at(made, 2), keep=2)
    assert os.listdir(tmp_path) == ["step-00000002"]


def test_no_other_file_is_removed_with_old_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"best")
    save_state(tmp_path, state(), keep=1)
    save_state(tmp_path, at(state(), 8), keep=1)
    assert sorted(os.listdir(tmp_path)) == ["best.safetensors", "step-00000008"]


def test_only_names_that_are_written_here_are_loaded_or_removed(tmp_path: Path) -> None:
    first = save_state(tmp_path, at(state(), 5), keep=1)
    for name in ("step-backup", "step-00000005.bak", "step-5", "step-000000007x"):
        shutil.copytree(first, tmp_path / name)
    (tmp_path / "step-00000003").write_text("a file")
    kept = set(os.listdir(tmp_path)) - {first.name}
    assert saved_states(tmp_path) == [first]
    newest = save_state(tmp_path, at(state(), 100_000_000), keep=2)  # of nine digits, and still the newest
    assert saved_states(tmp_path) == [first, newest]
    save_state(tmp_path, at(state(), 100_000_001), keep=1)
    assert set(os.listdir(tmp_path)) == kept | {"step-100000001"}


def test_what_a_killed_remover_left_is_written_again(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    (path / "counters.json").unlink()
    save_state(tmp_path, state(), keep=2)
    load_state(path, state(1))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "ema.safetensors"])
@pytest.mark.parametrize("place", [0, 40, -1])
def test_one_flipped_byte_of_the_tensors_is_refused(tmp_path: Path, name: str, place: int) -> None:
    path = save_state(tmp_path, state(), keep=2)
    flip(path / name, place)
    with pytest.raises(CheckpointError, match=f"damaged .*{name.split('.')[0]}.*start again with --overwrite"):
        load_state(path, state(1))


def test_a_flipped_byte_of_the_counters_is_refused_or_means_nothing(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    file = path / "counters.json"
    before = file.read_bytes()
    loaded, accepted = state(1), 0
    for place in range(0, len(before), 3):
        flip(file, place)
        try:
            load_state(path, loaded)
        except CheckpointError:
            pass
        else:
            accepted += 1
            assert loaded.counters == state().counters, f"byte {place} changed the counters unseen"
        file.write_bytes(before)
    assert accepted < len(before) / 30


def test_a_damaged_checkpoint_changes_nothing_in_memory(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    flip(path / "optimizer.safetensors", -1)
    loaded = state(1)
    before = [p.detach().clone() for p in loaded.model.parameters()]
    with pytest.raises(CheckpointError):
        load_state(path, loaded)
    assert all(torch.equal(a, b) for a, b in zip(before, loaded.model.parameters(), strict=True))


def test_the_newest_sound_checkpoint_is_offered(tmp_path: Path) -> None:
    made = state()
    paths = [save_state(tmp_path, at(made, step), keep=9) for step in (1, 2, 3, 4)]
    flip(paths[3] / "model.safetensors", -1)
    flip(paths[2] / "ema.safetensors", -1)
    with pytest.raises(CheckpointError, match="remove step-00000003 and step-00000004 to go on from step-00000002"):
        load_state(paths[3], state(1))
    for path in paths[2:]:
        shutil.rmtree(path)
    load_state(saved_states(tmp_path)[-1], made)
    assert made.counters.step == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 100_000, "[]", "null", '{"counters": {}}', '{"counters": 3, "sha256": {}}']
)
def test_counters_that_are_no_counters_are_refused(tmp_path: Path, content: str) -> None:
    path = save_state(tmp_path, state(), keep=2)
    (path / "counters.json").write_text(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(path, state(1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    (path / "ema.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        load_state(path, state(1))


def test_counters_are_plain_numbers(tmp_path: Path) -> None:
    path = save_state(tmp_path, state(), keep=2)
    assert json.loads((path / "counters.json").read_text())["counters"] == dataclasses.asdict(state().counters)


def test_a_full_disk_leaves_the_older_checkpoint_and_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, at(state(), 1), keep=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vitascope.training.state.write_safetensors", full)
    with pytest.raises(CheckpointError, match="disk full"):
        save_state(tmp_path, at(state(), 2), keep=1)
    assert os.listdir(tmp_path) == ["step-00000001"]
    load_state(tmp_path / "step-00000001", state(1))
