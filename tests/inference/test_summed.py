"""A folder's predictions in a few figures."""

from __future__ import annotations

from vitascope.checkpoints.answer import Answer
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.files import FilePrediction
from vitascope.inference.summed import summed, summed_lines


def said(file: str, best: float, label: str = "cat", members: tuple[str, ...] | None = None) -> FilePrediction:
    """An answer of two labels."""
    other = "dog" if label == "cat" else "cat"
    predictions = [(label, int(label == "dog"), best), (other, int(other == "dog"), 1 - best)]
    return FilePrediction(file, Answer(predictions=predictions, members=members))


BROKEN = FilePrediction("e.jpg", None, "e.jpg: empty")


def test_without_sets_what_is_below_half_is_unsure() -> None:
    found = summed([said("a.jpg", 0.9), said("b.jpg", 0.4, "dog"), said("c.jpg", 0.6), BROKEN], several=False)
    assert (found.images, found.labels, found.none, found.unsure) == (3, {"cat": 2, "dog": 1}, 0, 1)
    assert found.least_sure == [("b.jpg", "dog", 0.4), ("c.jpg", "cat", 0.6), ("a.jpg", "cat", 0.9)]
    assert found.unreadable == ["e.jpg"]
    assert summed_lines(found, None, classes=3, several=False) == [
        "3 images: cat 2, dog 1",
        "1 unsure (below 50 %)",
        "least sure: b.jpg (dog 40 %), c.jpg (cat 60 %), a.jpg (cat 90 %)",
        "not readable: e.jpg",
    ]
    of_two = summed_lines(found, None, classes=2, several=False)  # of which the likelier has half at least
    assert not any("unsure" in line for line in of_two)
    assert found.as_json()["least_sure"][0] == {"file": "b.jpg", "label": "dog", "probability": 0.4}


def test_sets_say_what_is_none_of_the_classes_and_what_is_unsure() -> None:
    results = [
        said("a.jpg", 0.9, members=("cat",)), said("b.jpg", 0.4, "dog", members=()),
        said("c.jpg", 0.6, members=("cat", "dog")),
    ]  # fmt: skip
    found = summed(results, several=False)
    assert (found.labels, found.none, found.unsure) == ({"cat": 2}, 1, 1)
    sets = PredictionSets(coverage=0.95, least=(0.6,), images=40)
    second = summed_lines(found, sets, classes=2, several=False)[1]
    assert second == "1 none of these classes, 1 unsure (several labels in a set of 95 %)"
    never = PredictionSets(coverage=0.95, least=(0.5,), images=40)  # two of which hold one label at least
    assert summed_lines(found, never, classes=2, several=False)[1] == "1 unsure (several labels in a set of 95 %)"


def test_of_several_labels_an_image_each_counts() -> None:
    both = Answer(predictions=[("cat", 0, 0.9), ("dog", 1, 0.7)])
    neither = Answer(predictions=[("cat", 0, 0.2), ("dog", 1, 0.1)])
    found = summed([FilePrediction("a.jpg", both), FilePrediction("b.jpg", neither)], several=True)
    assert (found.images, found.labels, found.none, found.unsure) == (2, {"cat": 1, "dog": 1}, 1, 0)
    assert summed_lines(found, None, classes=2, several=True)[1] == "1 none of these classes"


def test_nothing_readable_and_many_classes_are_told_too() -> None:
    assert summed_lines(summed([BROKEN], several=False), None, classes=2, several=False)[0] == "0 images: "
    many = [FilePrediction(f"{n}.jpg", Answer(predictions=[(f"c{n}", n, 0.5)])) for n in range(30)]
    assert summed_lines(summed(many, several=False), None, classes=2, several=False)[0].endswith("and 20 more")
