"""What the tests of commands share: a run to ask, and the way to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from commanding import Run
from tiny import PRETRAIN_WORDS, image_folder
from vitascope.cli import main


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/, run/, which was trained on them, and others/ of the same classes."""
    folder = tmp_path_factory.mktemp("place")
    patch = pytest.MonkeyPatch()
    patch.setattr("vitascope.recipes.run.draw_curves", lambda folder: None)
    words = ["--steps=20", "--lr=0.01", "--holdout=0.2", *PRETRAIN_WORDS]
    assert main(["pretrain", str(image_folder(folder / "images")), "--out", str(folder / "run"), *words]) == 0
    patch.undo()
    image_folder(folder / "others", 9, seed=1)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output, standard error."""

    def command(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command
