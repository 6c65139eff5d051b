"""Every command: what it prints for people and what for programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import vitascope as vs
from commanding import Run
from tiny import CLASSES, PRETRAIN_WORDS, image_folder
from vitascope.cli import COMMANDS

pytestmark = pytest.mark.usefixtures("no_pictures")


# The words of every command, for the folder of `place`, and a key of its JSON.
EVERY: dict[str, tuple[list[str], str]] = {
    "train": (["{}/images", "--out={}/trained", "--start={}/run", "--way=teach", "--threads=1"], "kept"),
    "check": (["{}/images"], "splits"),
    "pretrain": (["{}/images", "--out={}/p", "--steps=2", *PRETRAIN_WORDS], "validation"),
    "finetune": (["{}/run", "{}/images", "--out={}/f", "--steps=2", "--batch=4", "--precision=float32"], "validation"),
    "teach": (["{}/run", "{}/images", "--out={}/taught"], "loo_top1"),
    "evaluate": (["{}/run", "{}/images"], "top1"),
    "fewshot": (["{}/run", "{}/images", "--test={}/others", "--shots=1,3", "--seeds=2", "--device=cpu"], "results"),
    "predict": (["{}/run", "{}/images/ant"], "predictions"),
    "similar": (["{}/run", "{}/images/ant/000.png", "{}/images"], "similar"),
    "embed": (["{}/run", "{}/images/ant", "--out={}/features.npz"], "width"),
    "convert": (["{}/run", "{}/converted"], "parameters"),
    "models": ([], "models"),
    "data": ([], "data"),
}


@pytest.fixture
def quick_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """No building of the 200 layers of every model in the catalogue."""
    monkeypatch.setattr("vitascope.models.catalogue.count_parameters", lambda config: 12345)


def words_of(name: str, place: Path, tmp_path: Path) -> list[str]:
    inside = ("{}/p", "{}/f", "{}/taught", "{}/trained", "{}/features", "{}/converted")
    return [w.replace("{}", str(tmp_path if any(i in w for i in inside) else place)) for w in (name, *EVERY[name][0])]


def test_every_command_is_tested() -> None:
    # These have tests of their own, and the studies a file each.
    own = {"compare", "completion", "demo", "doctor", "enough", "export", "inspect", "push", "serve"} | {
        name for name in COMMANDS if name.startswith("study ")
    }
    assert set(EVERY) | own == set(COMMANDS)


@pytest.mark.usefixtures("quick_count")
@pytest.mark.parametrize("name", EVERY)
def test_json_is_one_object_and_nothing_else(name: str, place: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run(*words_of(name, place, tmp_path), "--json")
    assert code == 0
    assert out.count("\n") == 1
    assert EVERY[name][1] in json.loads(out)


@pytest.mark.usefixtures("quick_count")
@pytest.mark.parametrize("name", EVERY)
def test_people_get_no_json(name: str, place: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run(*words_of(name, place, tmp_path))
    assert code == 0
    assert out + err
    assert "{" not in out.replace("{000..009}", "")
    assert "Traceback" not in err


def test_a_run_reports_its_figures(place: Path, tmp_path: Path, run: Run) -> None:
    _, out, err = run(*words_of("pretrain", place, tmp_path), "--json")
    result = json.loads(out)
    assert result["steps"] == 2
    assert Path(result["model"]) == tmp_path / "p" / "model"
    assert "validation top-1" in err
    assert "the model is in" in err


def test_training_says_what_came_out_how_sure_that_is_and_how_to_go_on(place: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run(*words_of("train", place, tmp_path))
    assert code == 0
    assert "no problems found" in out
    assert "plan for 10m" in out
    said = err.splitlines()[-4:]
    assert said[0].startswith("after ")
    assert "the taught head is kept: validation top-1" in said[0]
    assert said[1].startswith("how sure: nothing was learned or chosen from these images")
    assert said[2].startswith("what would help")
    assert f"open {tmp_path}/trained/report.html in a browser; go on: vitascope predict" in said[3]
    assert (tmp_path / "trained" / "report.html").is_file()


def test_what_check_found_is_told_by_kinds_or_each(tmp_path: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "images")
    for name in ("a.png", "b.png", "c.png", "d.png"):
        (folder / "ant" / name).write_bytes(b"no picture")
    code, out, err = run("check", folder)
    assert code == 0
    assert "24 images of 3 classes (train 24): 4 problems to mend" in out.splitlines()[0]
    assert "d.png" not in out
    assert f"each of them: vitascope check {folder} --all" in err
    everything = run("check", folder, "--all")[1]
    assert all(name in everything for name in ("a.png", "b.png", "c.png", "d.png"))


def test_the_catalogues_are_listed_wholly(run: Run) -> None:
    models = json.loads(run("models", "--json")[1])["models"]
    assert set(models) == set(vs.model_names())
    assert models["ViT-B/16"]["parameters"] == 86_567_656
    names = [entry["name"] for entry in json.loads(run("data", "--json")[1])["data"]]
    assert {"folder", "parquet", "digits", "fractals", "cifar10"} <= set(names)


@pytest.mark.usefixtures("quick_count")
def test_a_piped_table_is_not_cut(run: Run) -> None:
    table = run("models")[1]
    assert all(name in table for name in vs.model_names())


def test_the_fields_of_every_kind_of_model_are_told(run: Run) -> None:
    fields = json.loads(run("models", "--fields", "--json")[1])["fields"]
    told = {kind: {field["name"]: field for field in found} for kind, found in fields.items()}
    assert told["ViT"]["depth"] == {"name": "depth", "default": "12", "meaning": "L, the number of blocks."}
    assert told["ViT"]["pooling"]["meaning"].endswith("One of token, mean, token+mean, token+distillation, attention.")
    assert told["ViT"]["gated_mlp"]["default"] == "false"
    assert told["hybrid"]["width_factor"]["default"] == "1"
    assert told["BiT"]["units"]["default"] == "3,4,6,3"
    assert all(found["meaning"].strip() for kind in told.values() for found in kind.values())
    table = run("models", "--fields")[1]
    assert all(f" {name} " in table for kind in told.values() for name in kind)
    assert run("models", "--fields", "--starts")[0] == 2


def test_check_lists_every_unreadable_file(tmp_path: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "images")
    whole = (folder / "ant" / "000.png").read_bytes()
    broken = {"truncated.png": whole[:40], "text.jpg": b"hello", "empty.png": b""}
    for name, content in broken.items():
        (folder / "ant" / name).write_bytes(content)
    code, out, _ = run("check", folder, "--json")
    assert code == 0
    found = json.loads(out)["problems"]
    assert {Path(problem["where"]).name for problem in found} == set(broken)
    assert run("check", folder, "--strict", "--json")[0] == 2
    table = run("check", folder)[1]
    assert all(name in table for name in broken)


def test_evaluation_reports_overall_and_per_class(place: Path, run: Run) -> None:
    code, out, _ = run("evaluate", place / "run", place / "images", "--json", "--batch=3")
    result = json.loads(out)
    assert code == 0
    assert (result["images"], result["part"], result["left_out"]) == (3, "held out", 17)  # the run's own data
    assert list(result["per_class"]) == list(CLASSES)
    code, table, said = run("evaluate", place / "run", place / "images", "--split=train")
    assert all(name in table for name in (*CLASSES, "calibration error", "of 20; always 'ant' 35.0 %"))
    assert "top-5" not in table  # of three classes
    assert "17 of the 20 images counted were trained on" in said


def test_few_shots_are_a_table_of_shots_by_methods(place: Path, run: Run) -> None:
    words = ["fewshot", place / "run", place / "images", "--test", place / "others", "--device=cpu", "--seeds=3"]
    words += ["--shots", "1,5", "--l2", "1,1024", "--methods", "ridge,knn"]
    result = json.loads(run(*words, "--json")[1])
    assert result["test"] == {"name": "others", "split": "train", "images": 9}
    found = [(r["shots"], r["method"], r["l2"], len(r["accuracies"])) for r in result["results"]]
    one = [("ridge", 1.0, 3), ("ridge", 1024.0, 3), ("knn", None, 3)]
    assert found == [(shots, *rest) for shots in (1, 5) for rest in one]
    table = " ".join(run(*words)[1].split())
    assert "on others (train, 9 images), mean ± 95 % interval over 3 seeds" in table
    assert "shots ridge λ=1 ridge λ=1024 knn" in table
    for entry in result["results"]:
        assert f"{100 * entry['mean']:.1f} ± {100 * entry['half']:.1f} %" in table
    alone = run(*words, "--seeds=1")[1]
    assert "one seed" in alone
    assert "±" not in alone


def test_predictions_are_those_of_the_library(place: Path, run: Run) -> None:
    _, out, _ = run("predict", place / "run", place / "images", "--json", "--top=2", "--batch=7")
    predictor = vs.Predictor(place / "run")
    found = json.loads(out)["predictions"]
    assert len(found) == 20
    for entry in found:
        assert len(entry["labels"]) == 2
        expected = predictor(entry["file"], top=2)[0]
        assert [label["label"] for label in entry["labels"]] == [label for label, _, _ in expected]
        assert entry["labels"][0]["probability"] == pytest.approx(expected[0][2], abs=1e-6)


def test_one_broken_image_does_not_cost_the_others(place: Path, tmp_path: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "images", 6)
    (folder / "bee" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code, out, err = run("predict", place / "run", folder, "--json", "--csv", tmp_path / "p.csv")
    assert code == 2
    assert "broken.png" in err
    assert "1 of 7 files could not be read" in err
    found = {Path(entry["file"]).name: entry for entry in json.loads(out)["predictions"]}
    assert len(found) == 7
    assert found["broken.png"]["labels"] == []
    assert "error" in found.pop("broken.png")
    assert all(len(entry["labels"]) == 3 and "error" not in entry for entry in found.values())
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert [row["file"] for row in rows if row["error"]] == [str(folder / "bee" / "broken.png")]


def test_many_files_are_summed_up_and_a_few_told_each(place: Path, tmp_path: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "images", 24)
    words = ["predict", place / "run", folder, "--device=cpu"]
    code, out, _ = run(*words)
    assert code == 0
    assert len(out.splitlines()) <= 5
    assert out.startswith("24 images: ")
    assert "least sure: " in out
    assert out.splitlines()[-1] == "each file's answer with --csv FILE, for a spreadsheet, or --all"
    assert sum(json.loads(run(*words, "--json")[1])["summary"]["labels"].values()) == 24
    everything = run(*words, "--all")[1]
    assert all(str(file) in everything for file in folder.glob("*/*"))
    csv_file = tmp_path / "p.csv"
    out = run(*words, "--csv", csv_file)[1]
    assert out.splitlines()[-1] == f"each file's answer is in {csv_file}"
    assert csv_file.read_bytes().startswith("\ufefffile,label,probability".encode())
    assert str(folder / "ant") in run("predict", place / "run", folder / "ant")[1]


def test_a_csv_file_is_not_overwritten_and_nothing_is_predicted_first(place: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "p.csv").write_text("precious")
    code, out, err = run("predict", place / "run", place / "images", "--csv", tmp_path / "p.csv")
    assert (code, out) == (2, "")
    assert "exists; choose another --csv file" in err
    assert (tmp_path / "p.csv").read_text() == "precious"


@pytest.mark.parametrize("format", ["google", "timm", "huggingface"])
def test_what_is_converted_predicts_the_same(format: str, place: Path, tmp_path: Path, run: Run) -> None:
    tuned = tmp_path / "tuned"
    words = ["--steps=3", "--batch=4", "--precision=float32", "--lr=0.1"]
    assert run("finetune", place / "run", place / "images", "--out", tuned, *words)[0] == 0
    out = tmp_path / ("c.npz" if format == "google" else "c")
    assert run("convert", tuned, out, "--format", format)[0] == 0
    ours, theirs = (
        json.loads(run("predict", checkpoint, place / "images", "--json")[1])["predictions"]
        for checkpoint in (tuned, out)
    )
    for a, b in zip(ours, theirs, strict=True):
        values = [{x["index"]: x["probability"] for x in p["labels"]} for p in (a, b)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)
