"""An export is served as it is: the answers that `evaluate` counts, and on the page no insides but all else."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import vitascope as vs
from browsing import Tab, browser
from optional import needs
from serving import Served, error_of, inference, pixels, png, process, served
from tiny import CLASSES, image_folder, source
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints.kept_examples import KeptExample, write_examples
from vitascope.cli import main
from vitascope.errors import ConfigError
from vitascope.evaluation.sets import PredictionSets
from vitascope.inference.contract import Form
from vitascope.inference.export import export
from vitascope.inference.exported import open_model
from vitascope.web.engine import Engine

needs("openvino")
SETS = PredictionSets(coverage=0.9, least=(0.3, 0.3, 0.3), images=90)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("nncf")
    out = tmp_path_factory.mktemp("int8") / "out"
    named = checkpoint(TINY, labels=CLASSES, sets=SETS)
    export(named, out, "openvino", precision="int8", calibration=source(40), samples=12)
    return out


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[Served]:
    with served(load=lambda: Engine(open_model(folder), max_pixels=10**6, **how)) as running:
        yield running


@pytest.fixture(scope="module")
def server(int8: Path) -> Iterator[Served]:
    with serving(int8) as running:
        yield running


def test_int8_answers_as_evaluate_counts(
    server: Served, int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = image_folder(tmp_path / "photos", 45)
    words = ["evaluate", str(int8), str(photos), "--csv", str(tmp_path / "answers.csv"), "--json"]
    assert main(words) == 0
    counted = json.loads(capsys.readouterr().out)
    with (tmp_path / "answers.csv").open(encoding="utf-8-sig") as file:
        expected = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    files = sorted(photos.rglob("*.png"))
    right = 0
    for first in range(0, len(files), 9):
        part = files[first : first + 9]
        form = [("image", (file.name, file.read_bytes())) for file in part]
        answers = server.client.post("/predict", files=form).json()["predictions"]
        tensor = {"name": "image", "datatype": "BYTES", "shape": [len(part)]}
        blob = b"".join(len(f.read_bytes()).to_bytes(4, "little") + f.read_bytes() for f in part)
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(blob)}}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        inferred = server.client.post("/v2/models/tiny/infer", content=head + blob, headers=headers).json()
        labels = next(output["data"] for output in inferred["outputs"] if output["name"] == "label")
        for file, answer, label in zip(part, answers, labels, strict=True):
            best, known = answer["labels"][0], expected[file.name]
            assert best["label"] == label == known["answer"]
            assert best["probability"] == pytest.approx(float(known["probability"]), abs=2e-6)
            right += best["label"] == file.parent.name
    assert right / len(files) == pytest.approx(counted["top1"])


def test_sets_and_what_runs_are_told(server: Served) -> None:
    (answer,) = server.client.post("/predict", content=png()).json()["predictions"]
    assert answer["set"] == [
        entry["label"] for entry in sorted(answer["labels"], key=lambda e: e["index"]) if entry["probability"] >= 0.3
    ]
    model = server.client.get("/v2/models/tiny").json()
    assert model["platform"] == "openvino_ir"
    assert [output["name"] for output in model["outputs"]] == ["logits", "probabilities", "label", "set", "known"]


@pytest.mark.parametrize("form", ["batch", "image"])
def test_onnx_is_served_as_its_predictor_answers(form: Form, tmp_path: Path) -> None:
    needs("onnxruntime")
    export(checkpoint(TINY, labels=CLASSES), tmp_path / "out", "onnx", form=form)
    files = [png(n) for n in range(3)]
    with serving(tmp_path / "out") as onnx:
        told = onnx.client.get("/v2/models/tiny").json()
        assert told["platform"] == "onnxruntime_onnx"
        takes_pixels = form == "batch"
        assert [each["name"] for each in told["inputs"]] == ["pixel_values" if takes_pixels else "image"]
        inferred = onnx.client.post("/v2/models/tiny/infer", json=inference(pixels(1)))
        assert inferred.status_code == (200 if takes_pixels else 400)
        answers = onnx.client.post("/predict", files=[("image", file) for file in files]).json()["predictions"]
    for answer, known in zip(answers, vs.Predictor(tmp_path / "out")(files), strict=True):
        assert [e["label"] for e in answer["labels"]] == [label for label, *_ in known]


def test_what_an_export_cannot_show_is_said(server: Served) -> None:
    model = server.client.get("/api/model").json()
    assert model["closed"] == "An export to OpenVINO gives answers alone; serve the checkpoint itself to look inside."
    look = server.client.post("/api/look", content=png()).json()
    assert look["size"] == [16, 16]
    assert look["predictions"] == server.client.post("/predict", content=png()).json()["predictions"][0]["labels"]
    assert (look["known"], look["coverage"]) == (bool(look["set"]), 0.9)
    assert server.client.get(f"/api/looks/{look['id']}").json() == look
    assert error_of(server.client.get(f"/api/looks/{look['id']}/layers/0"), 404).startswith("An export to OpenVINO")


def test_it_is_not_taught_and_runs_on_nothing_else(int8: Path) -> None:
    with pytest.raises(ConfigError, match=r"is an export, which cannot be taught; serve the checkpoint with --teach"):
        Engine(open_model(int8), max_pixels=10**6, teach=True)
    with pytest.raises(ConfigError, match="runs on engine openvino, not eager"):
        Engine(open_model(int8), max_pixels=10**6, engine="eager")


def test_the_page_begins_with_a_runs_photographs_where_one_is_named(
    int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vs.save(checkpoint(), tmp_path / "run" / "model")
    words = ["serve", str(int8), "--examples", str(tmp_path / "run"), "--port=0"]
    assert main(words) == 2
    assert "holds no kept photographs; give a run" in capsys.readouterr().err
    write_examples(tmp_path / "run", [KeptExample(label="bee", split="test", content=png())])
    with process(int8, "--examples", tmp_path / "run") as (_, address):
        told = httpx.get(f"{address}/api/model", trust_env=False).json()
    assert [example["name"] for example in told["examples"]] == ["bee"]
    assert told["examples_note"] == "Held out, with their true labels:"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_image_and_answer(int8: Path, width: int) -> None:
    from playwright.sync_api import expect

    kept = [KeptExample(label=name, split="test", content=png(n)) for n, name in enumerate(CLASSES)]
    with serving(int8, kept=kept) as server, browser() as chromium:
        page = Tab(chromium.new_context(viewport={"width": width, "height": 844}))
        page.page.goto(server.address)
        expect(page["seen"]).to_be_visible()
        expect(page["closed"]).to_contain_text("gives answers alone")
        best = server.client.post("/predict", content=png(0)).json()["predictions"][0]["labels"][0]
        expect(page["predictions"].locator("li").first).to_contain_text(best["label"])
        page["file"].set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": png(7)})
        expect(page["own-name"]).to_have_text("mine.png")
        best = server.client.post("/predict", content=png(7)).json()["predictions"][0]["labels"][0]
        expect(page["predictions"].locator("li").first).to_contain_text(best["label"])
        page.page.keyboard.press("]")
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.errors == []
        assert page.hosts() <= {server.address.removeprefix("http://"), ""}
