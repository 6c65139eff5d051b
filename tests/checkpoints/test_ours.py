"""`start`: weights in the package, by name, wherever and without a network."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import vitascope as vs
from depot import Depot
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.ours import FOLDER
from vitascope.checkpoints.starts import STARTS
from vitascope.data.source import View
from vitascope.models.catalogue import count_parameters

MEGABYTES = 12
"""At most: everybody who installs the package fetches it."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which nothing is called "start"."""
    monkeypatch.chdir(tmp_path)


def test_it_is_here_without_a_network_and_as_its_row_says(depot: Depot) -> None:
    ours = vs.load("start")
    row = next(start for start in STARTS if start.name == "start")
    assert vs.load("start", classes=0).config == row.config()
    assert ours.labels[:3] == ("apple", "aquarium_fish", "baby")
    assert len(ours.labels) == ours.config.classes == 100
    assert ours.preprocess.size == (row.pixels, row.pixels)
    assert count_parameters(ours.config) == sum(p.numel() for p in ours.model.parameters())
    assert ours.card["fetched"]["name"] == "start"
    assert depot.asked == []


def test_it_is_small_and_nothing_of_the_machine_that_made_it_is_in_it() -> None:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MEGABYTES * 1e6
    for path in files:
        if path.suffix in (".json", ".md"):
            assert "/work" not in path.read_text(encoding="utf-8")


def test_what_it_was_shown_goes_with_it() -> None:
    shown = vs.load("start").shown
    assert shown is not None
    assert len(shown.trained) > 48_000


def test_a_path_of_that_name_wins() -> None:
    vs.save(checkpoint(), Path("start"))
    assert vs.load("start").config == checkpoint().config


def test_digits_are_taught_with_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    digits = vs.open_data("digits").train
    assert digits is not None
    taught = vs.teach(vs.load("start"), View(digits, np.arange(200)))
    assert taught.card["results"]["loo_top1"] > 0.75
