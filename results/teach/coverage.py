"""Do prediction sets hold what they state? `coverage.py CHECKPOINT DATA [TAUGHT …]`: DATA holds cifar10.

Of each random split, some images are taught and calibrate the sets by leave-one-out, all others judge them. Then one
such head is saved, exported as ONNX and served on this machine, and the sets of some hundred images compared.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from PIL import Image
from scipy.stats import beta
from shared import keep, likely, some_of, weights_of

from vitascope.checkpoints.load import load
from vitascope.checkpoints.save import save
from vitascope.data.open import open_data
from vitascope.data.source import View
from vitascope.evaluation.fewshot import signs
from vitascope.evaluation.interval import wilson
from vitascope.evaluation.sets import PredictionSets
from vitascope.evaluation.taught import teach_head
from vitascope.inference.export import export
from vitascope.inference.predictor import Predictor
from vitascope.recipes.teach import teach
from vitascope.web.app import application
from vitascope.web.engine import Engine
from vitascope.web.server import address_of, make_server, open_socket
from vitascope.web.service import Service
from vitascope.web.settings import ServeSettings

COVERAGES = (0.8, 0.9, 0.95)
ASKED = 300
"""Images that Python, ONNX and the server are compared on."""


def judged(x: np.ndarray, y: np.ndarray, n: int, seed: int) -> dict[tuple[float, bool], np.ndarray]:
    """Of a split, by coverage and whether by class: shares that held, of all and by class, labels, "none of these"."""
    order = np.random.default_rng([n, seed]).permutation(len(y))
    classes = int(y.max()) + 1
    known, rest = order[:n], order[n:]
    head = teach_head(x[known], signs(y[known], classes))
    calibrating, asked = likely(head.left_out), likely(x[rest] @ head.weight.T + head.bias)
    place, counts = np.arange(len(rest)), np.bincount(y[rest], minlength=classes)
    right = asked.argmax(axis=1) == y[rest]
    left_out = (head.left_out.argmax(axis=1) == y[known]).mean()
    low, high = wilson(left_out, n)
    accuracy = [left_out, right.mean(), low <= right.mean() <= high]
    found = {}
    for coverage in COVERAGES:
        for by_class in (False, True):
            sets = PredictionSets.fit(calibrating, y[known], coverage, by_class=by_class)
            members = sets.members(asked)
            held = members[place, y[rest]]
            size = members.sum(axis=1)
            each = np.bincount(y[rest], weights=held, minlength=classes) / counts
            found[coverage, by_class] = np.array([held.mean(), size.mean(), (size == 0).mean(), *accuracy, *each])
    return found


def main(checkpoint: str, data: Path, several: list[int], splits: int = 1000) -> None:
    source = open_data(str(data / "cifar10"))
    x, y = some_of(checkpoint, source, 20_000)
    weights = weights_of(checkpoint)
    for n in several:
        rows, found = [], [judged(x, y, n, seed) for seed in range(splits)]
        for coverage, by_class in found[0]:
            table = np.array([one[coverage, by_class] for one in found])
            rank = int((1 - coverage) * (n + 1) + 1e-9)
            low, high = beta.ppf([0.025, 0.975], n + 1 - rank, rank)
            mean, error = table[:, 0].mean(), table[:, 0].std(ddof=1) / np.sqrt(splits)
            each = table[:, 6:].mean(axis=0)
            row = {"splits": splits, "coverage": coverage, "by_class": by_class}
            row |= {"held": f"{mean:.5f}", "standard_error": f"{error:.5f}", "expected": f"{1 - rank / (n + 1):.5f}"}
            row |= {"deviation": f"{table[:, 0].std(ddof=1):.4f}"}
            row |= {"beta_deviation": f"{beta.std(n + 1 - rank, rank):.4f}"}
            row |= {"within_beta_95": f"{((table[:, 0] >= low) & (table[:, 0] <= high)).mean():.3f}"}
            row |= {"lowest_class": f"{each.min():.4f}", "highest_class": f"{each.max():.4f}"}
            names = ("labels", "none_of_these", "left_out_top1", "top1", "top1_in_interval")
            row |= {name: f"{value:.4f}" for name, value in zip(names, table[:, 1:6].mean(axis=0), strict=True)}
            rows.append(row)
        keep("coverage", rows, weights=weights, taught=n)
    keep("coverage_places", places(checkpoint, source.train, source.test), weights=weights)


def places(checkpoint: str, train, test) -> list[dict]:
    """One head of 500 images in Python, as ONNX and from the server: whose sets differ, on `ASKED` test images."""
    rng = np.random.default_rng(0)
    taught = teach(load(checkpoint), View(train, np.sort(rng.permutation(len(train))[:500])), coverage=0.9)
    chosen = np.sort(rng.permutation(len(test))[:ASKED])
    images, labels = [test[i] for i in chosen], test.labels[chosen]
    with TemporaryDirectory() as scratch:
        save(taught, Path(scratch) / "head")
        checkpoint_again = load(Path(scratch) / "head")
        export(checkpoint_again, Path(scratch) / "onnx", "onnx")
        found = {}
        for place, opened in (("python", Path(scratch) / "head"), ("onnx", Path(scratch) / "onnx")):
            predictor = Predictor(opened, "eager" if place == "python" else "auto")
            found[place] = [a.members for a in predictor.answers(predictor.probabilities(images))]
        with served(checkpoint_again) as client:
            found["server"] = [asked(client, image) for image in images]
    names = taught.labels
    return [
        {
            "place": place,
            "images": ASKED,
            "coverage": 0.9,
            "held": np.mean([names[label] in one for one, label in zip(sets, labels, strict=True)]),
            "labels": f"{np.mean([len(one) for one in sets]):.3f}",
            "none_of_these": f"{np.mean([len(one) == 0 for one in sets]):.3f}",
            "other_sets_than_python": sum(a != b for a, b in zip(sets, found["python"], strict=True)),
        }
        for place, sets in found.items()
    ]


@contextmanager
def served(checkpoint) -> Iterator[httpx.Client]:
    """A client of a server of this checkpoint, on a free port of this machine."""
    settings = ServeSettings(port=0)
    service = Service(lambda: Engine(checkpoint, max_pixels=settings.max_pixels), settings)
    opened = open_socket(settings)
    server = make_server(application(service), settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[opened])))
    thread.start()
    try:
        with httpx.Client(base_url=address_of(opened), timeout=60, trust_env=False) as client:
            service.loaded.result(60)
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def asked(client: httpx.Client, image: np.ndarray) -> tuple[str, ...]:
    """The set that the server tells of an image."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    answer = client.post("/predict", content=file.getvalue(), headers={"content-type": "image/png"})
    answer.raise_for_status()
    (told,) = answer.json()["predictions"]
    return tuple(told["set"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [int(word) for word in sys.argv[3:]] or [60, 200, 500])
