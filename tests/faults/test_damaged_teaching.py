"""What a run was taught is all there, or its absence is said: nothing of it is left out silently."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from faults import fuzz_taught
from tiny import image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.tensor_file import read_safetensors
from vitascope.cli import main
from vitascope.whole import sha256


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was taught, another model, and more images."""
    place = tmp_path_factory.mktemp("given")
    vs.save(checkpoint(), place / "start")
    vs.save(checkpoint(replace(TINY, norm_eps=1e-3)), place / "other")
    image_folder(place / "images", 24)
    image_folder(place / "more", 12, seed=1)
    assert main(["teach", str(place / "start"), str(place / "images"), f"--out={place / 'run'}"]) == 0
    return place


def results(run: Path, **changes: object) -> None:
    file = run / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def taught(run: Path, **changes: torch.Tensor) -> None:
    """Other tensors, whose SHA-256 is where the old one was: somebody means it."""
    file = run / "taught.safetensors"
    told = read_safetensors(file).metadata
    save_file({**load_file(file), **changes}, file, told)
    results(run, taught_sha256=sha256(file))


DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "results cut": (lambda run, _: (run / "results.json").write_bytes(b'{"top1": '), "results.json: damaged JSON"),
    "results gone": (lambda run, _: (run / "results.json").unlink(), "results.json: missing"),
    "results of others": (lambda run, _: (run / "results.json").write_text('{"top1": 1}'), "not as it was written"),
    "knowledge gone": (lambda run, _: (run / "taught.safetensors").unlink(), "missing, and with it what the run"),
    "model of others": (
        lambda run, given: (shutil.rmtree(run / "model"), shutil.copytree(given / "other", run / "model")),
        "its model is not the one that it was taught with",
    ),
    "no temperature": (lambda run, _: results(run, temperature=0), "not as it was written (l2, temperature"),
    "infinite temperatures": (lambda run, _: results(run, temperature=[1, 1e999]), "JSON"),
    "a word for a number": (lambda run, _: results(run, l2="x"), "not as it was written (l2, temperature"),
    "labels of no class": (lambda run, _: taught(run, labels=torch.full((24,), 9)), "something else (labels)"),
    "features of fewer": (lambda run, _: taught(run, features=torch.zeros(3, 16)), "something else (names)"),
    "features not finite": (
        lambda run, _: taught(run, features=torch.full((24, 16), float("nan"))),
        "something else (features)",
    ),
    "numbers of another kind": (
        lambda run, _: taught(run, marks=torch.zeros(24, dtype=torch.int8)),
        "something else (marks or groups)",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_said_before_anything_is_taught(
    name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(given / "run", run)
    change, said = DAMAGE[name]
    change(run, given)
    more, image = str(given / "more"), str(given / "more" / "ant" / "000.png")
    for words in (["teach", str(run), more, f"--out={out}"], ["similar", str(run), image]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.splitlines()) == 1
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_without_damage_goes_on(given: Path, tmp_path: Path) -> None:
    assert main(["teach", str(given / "run"), str(given / "more"), f"--out={tmp_path / 'out'}"]) == 0
    assert json.loads((tmp_path / "out" / "results.json").read_text())["images"] == 36


def test_random_damage_is_harmless_or_refused() -> None:
    met = fuzz_taught.run(seed=0, count=150)
    assert set(met) == {"read", "refused"}, met
