"""What a page tells of its classifier, and of which there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifying import page_runtime
from optional import needs
from tiny_checkpoint import TINY, checkpoint
from vitascope.errors import CheckpointError, ConfigError
from vitascope.web import classifier
from vitascope.web.classifier import write_classifier

needs("onnxruntime")


def test_the_foot_says_how_good_it_is_and_whether_it_was_chosen_by_these() -> None:
    judged = {"top1": 0.9, "loss": 0.3, "images": 100}
    for more, said in (({}, "expect 83 to 94 %."), ({"chosen_on": True}, "chosen by these, which flatters it.")):
        told = classifier._facts(checkpoint(card={"results": {"validation": judged | more}}))
        assert told[0].startswith("Of 100 photographs that it had not learned from it named 90 % rightly")
        assert told[0].endswith(said)


def test_no_page_of_what_names_nothing_or_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = page_runtime()
    with pytest.raises(CheckpointError, match="no classes"):
        write_classifier(checkpoint(activation="none"), tmp_path / "out", runtime, title="")
    monkeypatch.setattr(classifier, "LARGEST", 1000)
    with pytest.raises(ConfigError, match="choose a smaller model"):
        write_classifier(checkpoint(TINY), tmp_path / "out", runtime, title="")
    assert not (tmp_path / "out").exists()
