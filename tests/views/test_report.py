"""The report of a checkpoint: means over all images, and every file that it becomes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from tiny_checkpoint import checkpoint
from vitascope import views
from vitascope.errors import ConfigError, ImageError
from vitascope.models.config import BiTConfig, ViTConfig
from vitascope.views import report_files
from vitascope.views.report import NamedImage, Report, make_report
from vitascope.views.report_files import write_report

PLAIN = ViTConfig(image_size=(24, 24), patch=8, width=16, depth=3, heads=2, hidden=24, classes=6)


def pictures(count: int) -> list[NamedImage]:
    rng = np.random.default_rng(0)
    return [
        NamedImage(name=f"folder/a {n}.png", image=rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        for n in range(count)
    ]


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"tables/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(checkpoint(PLAIN), pictures(5), name="run", show=2, batch=2)


def test_means_are_over_all_images_whatever_the_batch(report: Report) -> None:
    ck = checkpoint(PLAIN)
    images = torch.stack([ck.preprocess(item.image) for item in pictures(5)])
    assert report.images == 5
    torch.testing.assert_close(torch.from_numpy(report.distance), views.attention_distance(ck.model, images))
    torch.testing.assert_close(torch.from_numpy(report.share), views.attended_share(ck.model, images))
    torch.testing.assert_close(torch.from_numpy(report.norms), views.token_norms(ck.model, images).mean(0))
    assert [name for name, _ in report.looks] == ["folder/a 0.png", "folder/a 1.png"]


def test_unreadable_images_are_named_and_left_out() -> None:
    told = []
    good, bad = pictures(2), NamedImage(name="bad.jpg", image=b"no image")
    report = make_report(
        checkpoint(PLAIN), [good[0], bad, good[1]], name="x", batch=2, progress=lambda *n: told.append(n)
    )
    assert report.images == 2
    assert [name for name, _ in report.unreadable] == ["bad.jpg"]
    assert told == [(2, 3), (3, 3)]
    with pytest.raises(ImageError, match="no image could be looked at"):
        make_report(checkpoint(PLAIN), [bad], name="x")


def test_what_cannot_be_reported() -> None:
    resnet = BiTConfig(units=(1, 1, 1, 1), base_width=32, image_size=(32, 32), classes=3)
    with pytest.raises(ConfigError, match="no attention"):
        make_report(checkpoint(resnet), pictures(1), name="x")
    with pytest.raises(ConfigError, match="show is 0"):
        make_report(checkpoint(PLAIN), pictures(1), name="x", show=0)


def test_files_hold_what_was_measured(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_report(replace(report, looks=report.looks[:1]), folder)
    stored = json.loads((folder / "report.json").read_text())
    jsonschema.validate(stored, json.loads((folder / "report.schema.json").read_text()))
    np.testing.assert_allclose(stored["attention_distance_pixels"], report.distance, rtol=1e-6)
    assert [look["folder"] for look in stored["looks"]] == ["images/01-a-0"]

    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for place in ("figures", "images/01-a-0"):
        made = {name for name in names if name.startswith(f"{place}/")}
        assert {name[:-4] for name in made if name.endswith(".svg")} == {n[:-4] for n in made if n.endswith(".png")}
        assert len(made) == (8 if place == "figures" else 12)
    for name in names:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                assert min(picture.size) > 100

    rows = table(folder, "heads")
    assert len(rows) == PLAIN.depth * PLAIN.heads
    assert rows[-1]["layer"] == str(PLAIN.depth)
    np.testing.assert_allclose(float(rows[1]["distance_pixels"]), report.distance[0, 1], rtol=1e-5)
    cosines = table(folder, "position_similarity")
    assert len(cosines) == 81
    itself = [float(r["cosine"]) for r in cosines if (r["row"], r["column"]) == (r["other_row"], r["other_column"])]
    np.testing.assert_allclose(itself, 1, atol=1e-5)
    look = report.looks[0][1]
    norms = table(folder, "token_norms")
    assert len(norms) == look.norms.size
    np.testing.assert_allclose(float(norms[-1]["norm"]), look.norms[-1, -1], rtol=1e-5)
    asked = table(folder, "attention_last_layer")
    middle = 1 + (1 * 3 + 1)
    np.testing.assert_allclose([float(r["weight"]) for r in asked[:9]], look.attention(2)[0, middle, 1:], rtol=1e-4)
    lens = table(folder, "logit_lens")
    best = next(r for r in lens if (r["image"], r["layer"], r["rank"]) == ("1", str(PLAIN.depth), "1"))
    assert best["label"] == report.looks[0][1].predictions[0][0]


def test_the_same_numbers_give_the_same_files(report: Report, tmp_path: Path) -> None:
    for name in ("a", "b"):
        report_files.save_figure(views.draw_distance(report.distance), tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"classes": 0},
        {"positions": "none"},
        {"positions": "rotary"},
        {"class_token": False, "pooling": "mean"},
        {"image_size": (8, 40)},
    ],
)
def test_models_that_lack_something(fields: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        report_files, "save_figure", lambda figure, path: drawn.append(path.name)
    )  # saving takes seconds
    report = make_report(checkpoint(replace(PLAIN, **fields)), pictures(1), name="x")  # type: ignore[arg-type]
    write_report(report, tmp_path / "r")
    schema = (Path(views.__file__).parent / "report.schema.json").read_text()
    stored = json.loads((tmp_path / "r/report.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    jsonschema.validate(stored, json.loads(schema))
    assert ("position_similarity" in drawn) == ("positions" not in fields)
    assert ("logit_lens" in drawn) == (fields.get("classes") != 0)
