"""Everything a run needs to go on exactly where it was: weights, average, optimiser, counters."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope import json_text
from vitascope.checkpoints.output import atomic_folder
from vitascope.checkpoints.tensor_file import read_safetensors, write_safetensors
from vitascope.errors import CheckpointError
from vitascope.training.ema import Ema
from vitascope.training.optimizer import make_optimizer
from vitascope.training.train_settings import TrainSettings

log = logging.getLogger(__name__)

_COUNTERS = "counters.json"


@dataclass
class Counters:
    """The numbers of a run, JSON-able."""

    step: int = 0
    """Optimiser steps done."""
    evaluated: int = 0
    """The last step whose evaluation is in the record."""
    best: float = -1.0
    """Best score of a validation so far: top-1 where classes are learned, or the loss, negative."""
    worse: int = 0
    """Evaluations since the best one."""
    best_step: int = -1
    """The step it was reached at; −1 for none."""
    best_sha256: str = ""
    """Of the file of its weights, where they are kept."""
    loss_sum: float = 0.0
    """Sum of the losses since the last line of the record."""
    loss_steps: int = 0
    """How many steps are in `loss_sum`."""
    record_lines: int = 0
    """Lines of metrics.jsonl; what is behind them belongs to steps that will be done again."""
    ahead: float = 0.0
    """How far the schedule is ahead of `step`, in a run that ends by the clock; 0 in one of so many steps."""
    planned: int = 0
    """The steps that the schedule of a run by the clock was laid out for."""
    seconds: float = 0.0
    """What such a run has used of its time."""

    @property
    def position(self) -> float:
        """Where in the schedule the next step stands, in steps."""
        return self.step + self.ahead


@dataclass
class TrainState:
    """The mutable state of a run."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None = None
    counters: Counters = field(default_factory=Counters)
    run: str = ""
    """Stands for the settings and the data of the run that this is the state of."""

    def result_weights(self) -> dict[str, Tensor]:
        """The weights that a run ends with, of all that learns: the average where there is one."""
        if self.ema is not None:
            return self.ema.tensors
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}


def new_state(model: nn.Module, settings: TrainSettings, run: str = "") -> TrainState:
    """The state of a run that has not begun."""
    ema = Ema(model, settings.ema) if settings.ema else None
    return TrainState(model, make_optimizer(model, settings), ema, run=run)


def save_state(folder: Path, state: TrainState, keep: int) -> Path:
    """Writes `folder`/step-N atomically, then removes all but the `keep` newest; returns the new one."""
    path = folder / f"step-{state.counters.step:08d}"
    if not (path / _COUNTERS).is_file():  # the same step holds the same state
        shutil.rmtree(path, ignore_errors=True)  # what a killed remover left
        files = {"model": dict(state.model.state_dict()), "optimizer": _optimizer_tensors(state)}
        if state.ema is not None:
            files["ema"] = state.ema.tensors
        counters = asdict(state.counters)
        with atomic_folder(path) as temporary:
            hashes = {
                name: write_safetensors(temporary / f"{name}.safetensors", tensors, {})
                for name, tensors in files.items()
            }
            hashes["counters"] = _counters_sha256(counters)
            (temporary / _COUNTERS).write_text(json.dumps({"counters": counters, "run": state.run, "sha256": hashes}))
    for old in set(_ours(folder)).difference(saved_states(folder)[-keep:]):
        (old / _COUNTERS).unlink(missing_ok=True)  # first, so that a kill meanwhile leaves none that looks complete
        shutil.rmtree(old, ignore_errors=True)
    return path


def saved_states(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first; interrupted writing leaves none that looks complete."""
    return [path for path in _ours(folder) if (path / _COUNTERS).is_file()]


def _ours(folder: Path) -> list[Path]:
    """What `save_state` has written, oldest first: what others have put beside it is not ours to load or delete."""
    paths = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name) and path.is_dir()]
    return sorted(paths, key=lambda path: int(path.name[5:]))


def remove_damaged(folder: Path) -> None:
    """Deletes the newest checkpoints as long as they are damaged, and says so: the one before them is gone on from."""
    for path in _damaged(folder):
        log.warning("checkpoint %s is damaged and removed", path)
        shutil.rmtree(path)


def load_state(path: Path, state: TrainState) -> str:
    """Fills `state` from a folder of `save_state`; returns the SHA-256 of all that was read.

    Raises `CheckpointError` for a damaged one, offering another, and for one that another run has written.
    """
    try:
        digest, run, counters, tensors = _read(path)
    except _DAMAGE as error:
        remedy = "there is no sound one before it: start again with --overwrite"
        damaged, others = _damaged(path.parent), saved_states(path.parent)
        if sound := [other.name for other in others if other not in damaged]:
            remedy = f"remove {' and '.join(sorted(other.name for other in damaged))} to go on from {sound[-1]}"
        raise CheckpointError(f"checkpoint {path} is damaged ({' '.join(str(error).split())}); {remedy}") from error
    if run != state.run:
        raise CheckpointError(
            f"checkpoint {path} was written with other settings or data than config.yaml and labels.json beside it say "
            "now; put those back as they were, or start again with --overwrite"
        )
    device = next(state.model.parameters()).device
    state.model.load_state_dict(tensors["model"])
    if state.ema is not None:
        for name, tensor in tensors["ema"].items():
            state.ema.tensors[name].copy_(tensor)
    parameters = dict(state.model.named_parameters())
    for key, tensor in tensors["optimizer"].items():
        name, _, slot = key.rpartition("/")
        # Fused kernels want all of it on the parameters' device, Adam's step counter too.
        state.optimizer.state[parameters[name]][slot] = tensor.to(device)
    state.counters = counters
    return digest


def _optimizer_tensors(state: TrainState) -> dict[str, Tensor]:
    return {
        f"{name}/{slot}": value
        for name, parameter in state.model.named_parameters()
        for slot, value in state.optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, CheckpointError)


def _read(path: Path) -> tuple[str, str, Counters, dict[str, dict[str, Tensor]]]:
    """Hash of all, run, counters and tensors by file, each checked against its SHA-256; raises one of `_DAMAGE`."""
    text = (path / _COUNTERS).read_bytes()
    stored = json_text.parse(text)
    hashes = dict(stored["sha256"])
    files = {name: read_safetensors(path / f"{name}.safetensors") for name in hashes if name != "counters"}
    actual = {name: file.sha256 for name, file in files.items()} | {"counters": _counters_sha256(stored["counters"])}
    if wrong := [name for name in actual if actual[name] != hashes.get(name)]:
        raise ValueError(f"{' and '.join(wrong)} do not match their SHA-256")
    tensors = {name: file.tensors for name, file in files.items()}
    return hashlib.sha256(text).hexdigest(), str(stored["run"]), Counters(**stored["counters"]), tensors


def _counters_sha256(counters: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(counters).encode()).hexdigest()


def _damaged(folder: Path) -> list[Path]:
    """The newest checkpoints, as long as they cannot be read, newest first."""
    damaged = []
    for path in reversed(saved_states(folder)):
        try:
            _read(path)
            break
        except _DAMAGE:
            damaged.append(path)
    return damaged


@contextmanager
def result_in_model(state: TrainState) -> Iterator[None]:
    """Within it the model carries the weights that would be the result (the moving average, where there is one)."""
    if state.ema is None:
        yield
        return
    trained = {name: p.detach().clone() for name, p in state.model.named_parameters() if name in state.ema.tensors}
    copy_weights(state.model, state.ema.tensors)
    try:
        yield
    finally:
        copy_weights(state.model, trained)


@torch.no_grad()
def copy_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Writes `tensors` into the parameters of the same names; each that learns must be among them."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(tensors[name])
