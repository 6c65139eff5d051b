"""What a taught head is good for: small classes, other shares of classes, a start for fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.data.test_alike import CHANGES, scene

import vitascope as vs
from lessons import head, taught
from tiny import image_folder
from vitascope.data.copies import groups
from vitascope.errors import ConfigError
from vitascope.recipes.asked import Teach
from vitascope.recipes.finetune import finetune, model_to_finetune
from vitascope.recipes.recipe import FinetuneRecipe
from vitascope.teaching.known import read_taught
from vitascope.teaching.lesson import Lesson

pytestmark = pytest.mark.usefixtures("cold_cache", "no_pictures")


def test_balance_helps_the_small_class(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "data", 30)
    for file in sorted((tmp_path / "data" / "bee").iterdir())[2:]:
        file.unlink()
    plain, even = (
        taught(start, tmp_path / "data", tmp_path / f"run-{balance}", balance=balance).results
        for balance in (False, True)
    )
    assert even["per_class"]["bee"]["top1"] >= plain["per_class"]["bee"]["top1"]
    assert not torch.allclose(head(tmp_path / "run-False")[1], head(tmp_path / "run-True")[1])


def test_balance_is_decided_by_images_left_out_and_shares_are_kept(start: str, tmp_path: Path) -> None:
    image_folder(tmp_path / "data", 30)
    for file in sorted((tmp_path / "data" / "bee").iterdir())[2:]:
        file.unlink()
    found = {
        balance: taught(start, tmp_path / "data", tmp_path / f"run-{balance}", balance=balance)
        for balance in (False, True, "auto")
    }
    scores = {balance: lesson.results["macro_f1"] for balance, lesson in found.items()}
    assert scores["auto"] == max(scores.values())
    assert found["auto"].results["balance"] is (scores[True] > scores[False])
    assert vs.load(tmp_path / "run-False").card["prior"] == pytest.approx([10 / 22, 2 / 22, 10 / 22])
    assert vs.load(tmp_path / "run-True").card["prior"] == pytest.approx([1 / 3] * 3)
    even, plain = (vs.load(tmp_path / f"run-{b}", prior="{ant: 0.2, bee: 0.6, cat: 0.2}") for b in (True, False))
    assert even.card["prior"] == plain.card["prior"] == [0.2, 0.6, 0.2]
    with pytest.raises(ConfigError, match="balance is 'yes'"):
        Teach(checkpoint=start, data="x", out="y", balance="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [("ant", "bee", "cat"), ("cat", "ant", "bee")])
def test_fine_tuning_goes_on_from_its_head(
    order: tuple[str, ...], start: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = image_folder(tmp_path / "data", 24)
    taught(start, data, tmp_path / "run")
    recipe = FinetuneRecipe(
        checkpoint=str(tmp_path / "run"), data=str(data), out=str(tmp_path / "tuned"), steps=1, batch=4, lr=1e-9
    )
    images = torch.rand(2, 3, 16, 16)
    known = vs.load(tmp_path / "run")
    expected = known.model(images)[:, [known.labels.index(name) for name in order]]
    assert torch.equal(model_to_finetune(recipe, known, order).eval()(images), expected)
    assert not model_to_finetune(recipe, vs.load(tmp_path / "run"), (*order[:2], "dog")).eval()(images).any()
    assert not model_to_finetune(recipe, vs.load(start), order).eval()(images).any()
    with caplog.at_level("INFO"):
        tuned = vs.load(finetune(recipe))
    assert "the head that was taught these 3 classes is kept" in caplog.text
    assert torch.allclose(tuned.model(images), vs.load(tmp_path / "run").model(images), atol=1e-4)
    assert tuned.card["task"] == "fine-tuning"
    assert not model_to_finetune(recipe, tuned, tuned.labels).eval()(images).any(), "as the paper has it"


def test_near_copies_of_what_is_known_are_left_out_with_it(start: str, tmp_path: Path) -> None:
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    for number, label in enumerate(("ant", "bee")):
        for folder in ("first", "more", "whole"):
            (tmp_path / folder / label).mkdir(parents=True)
        for i in range(6):
            image = scene(100 * number + i)
            more = {0: CHANGES["encoded anew"](image), 1: image.transpose(flip)}.get(i, scene(100 * number + 50 + i))
            for folder, each in (("first", image), ("more", more)):
                for place in (folder, "whole"):
                    each.save(tmp_path / place / label / f"{folder}-{i}.png")
    taught(start, tmp_path / "first", tmp_path / "one")
    added = taught(tmp_path / "one", tmp_path / "more", tmp_path / "two")
    whole = taught(start, tmp_path / "whole", tmp_path / "at-once")

    def together(lesson: Lesson) -> set[frozenset[str]]:
        known = lesson.known
        return {frozenset("/".join(Path(known.names[i]).parts[-2:]) for i in g) for g in groups(known.groups)}

    expected = {
        frozenset({f"{label}/first-{i}.png", f"{label}/more-{i}.png"}) for label in ("ant", "bee") for i in (0, 1)
    }
    assert together(added) == together(whole) == expected
    for name in ("loo_top1", "loss", "l2"):
        assert added.results[name] == pytest.approx(whole.results[name], rel=1e-6)
    known = read_taught(tmp_path / "two")
    assert known is not None
    assert known[0].small is not None
    assert len(known[0].small) == len(known[0]) == 24
