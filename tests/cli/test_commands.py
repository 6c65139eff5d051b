"""Every command: what it prints for people, what for programs, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Rich

import vitascope as vs
from tiny import CLASSES, PRETRAIN_WORDS, image_folder
from vitascope.cli import COMMANDS, main
from vitascope.cli.console import Console, Counter
from vitascope.errors import DivergedError
from vitascope.wording import count, duration

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
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
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output, standard error."""

    def command(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command


Run = Callable[..., tuple[int, str, str]]

# The words of every command, for the folder of `place`, and a key of its JSON.
EVERY: dict[str, tuple[list[str], str]] = {
    "check": (["{}/images"], "splits"),
    "pretrain": (["{}/images", "--out={}/p", "--steps=2", *PRETRAIN_WORDS], "validation"),
    "finetune": (["{}/run", "{}/images", "--out={}/f", "--steps=2", "--batch=4", "--precision=float32"], "validation"),
    "evaluate": (["{}/run", "{}/images"], "top1"),
    "fewshot": (["{}/run", "{}/images", "--test={}/others", "--shots=1,3", "--seeds=2", "--device=cpu"], "results"),
    "predict": (["{}/run", "{}/images/ant"], "predictions"),
    "convert": (["{}/run", "{}/converted"], "parameters"),
    "models": ([], "models"),
    "data": ([], "data"),
}


@pytest.fixture
def quick_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """No building of the 200 layers of every model in the catalogue."""
    monkeypatch.setattr("vitascope.models.catalogue.count_parameters", lambda config: 12345)


def words_of(name: str, place: Path, tmp_path: Path) -> list[str]:
    inside = ("{}/p", "{}/f", "{}/converted")
    return [w.replace("{}", str(tmp_path if any(i in w for i in inside) else place)) for w in (name, *EVERY[name][0])]


def test_every_command_is_tested() -> None:
    # These have tests of their own, and the studies a file each.
    own = {"demo", "export", "inspect", "serve"} | {name for name in COMMANDS if name.startswith("study ")}
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
    assert all(name in table for name in (*CLASSES, "top-5", "calibration error", "of 20; always 'ant' 35.0 %"))
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
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3 + 1
    assert [row["file"] for row in rows if row["error"]] == [str(folder / "bee" / "broken.png")]


def test_a_csv_file_is_not_overwritten_and_nothing_is_predicted_first(place: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "p.csv").write_text("precious")
    code, out, err = run("predict", place / "run", place / "images", "--csv", tmp_path / "p.csv")
    assert (code, out) == (2, "")
    assert "exists; choose another --csv file" in err
    assert (tmp_path / "p.csv").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "{}/nowhere", "{}/images"], "nowhere"),
        (["predict", "{}/run", "{}/absent.png"], "absent.png does not exist"),
        (["predict", "{}/run", "{}/run/checkpoints"], "no images below"),
        (["predict", "{}/run", "{}/images", "--engine=warp"], "choose from 'auto', 'eager'"),
        (["evaluate", "{}/run", "digits"], "does not know"),
        (["evaluate", "{}/run", "{}/images", "--split=test"], "has no test split"),
        (["evaluate", "{}/run", "{}/images", "--device=abacus"], "device 'abacus'"),
        (["fewshot", "{}/run", "{}/images"], "has no test split to be judged on; give --test DATA"),
        (["fewshot", "{}/run", "{}/images", "--test={}/images"], "the very images"),
        (["fewshot", "{}/run", "{}/images", "--test=digits"], "different classes"),
        (["fewshot", "{}/run", "{}/images", "--test={}/nowhere"], "nowhere: no such file or folder"),
        (["fewshot", "{}/run", "{}/images", "--test={}/others", "--shots=7"], "fewer than 7 images of cat (6)"),
        (["fewshot", "{}/run", "{}/images", "--shots=1,0"], "shots is (1, 0), expected a whole number of at least 1"),
        (["fewshot", "{}/run", "{}/images", "--shots=few"], "--shots: Expected a int. Got value: few"),
        (
            ["fewshot", "{}/run", "{}/images", "--methods=ridge,svm"],
            "choose from 'ridge', 'knn', 'probe'. Got",
        ),
        (["fewshot", "{}/run", "{}/images", "--l2=0"], "expected numbers above 0"),
        (["fewshot", "{}/run", "{}/images", "--seeds=0"], "seeds is 0"),
        (["fewshot", "{}/run", "{}/images", "--batch=0"], "--batch is 0"),
        (["finetune", "{}/images", "{}/images", "--out={}/x"], "images"),
        (["convert", "{}/run", "{}/run/model"], "already"),
        (["convert", "{}/run", "{}/new", "--model=ViT-B/16"], "not the model"),
        (["pretrain", "{}/images", "--out={}/run"], "choose another --out, or give --resume or --overwrite"),
        (["pretrain", "{}/images", "--out={}/images", "--overwrite"], "is not a run"),
        (["pretrain", "{}/images", "--out={}/none", "--resume"], "no run to resume"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_2(words: list[str], said: str, place: Path, run: Run) -> None:
    before = sorted(str(p) for p in place.rglob("*"))
    code, out, err = run(*(w.replace("{}", str(place)) for w in words))
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"vitascope {words[0]}: error: ")
    assert said in last
    assert "Traceback" not in err
    assert sorted(str(p) for p in place.rglob("*")) == before


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


def unexpected(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("vitascope.cli.commands.models.run", fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed."), "fewer --workers"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "fewer --workers"),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "fewer --workers"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more"), "smaller --micro_batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "smaller --micro_batch"),
        (MemoryError(), "smaller --micro_batch"),
        (OSError(28, "No space left on device"), "free some space"),
        (DivergedError("loss nan at step 3"), "loss nan at step 3"),
    ],
)
def test_a_machine_that_fails_is_one_line_with_a_remedy_and_exit_1(
    error: Exception, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    unexpected(monkeypatch, error)
    code, out, err = run("models")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert said in err


def test_a_fault_of_the_program_shows_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected(monkeypatch, ZeroDivisionError("division by zero"))
    code, _, err = run("models")
    assert code == 1
    assert "Traceback" in err
    assert "please report" in err


def test_ctrl_c_is_130_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected(monkeypatch, KeyboardInterrupt())
    code, _, err = run("models")
    assert (code, err) == (130, "vitascope models: interrupted\n")


def test_sigterm_outside_training_is_143_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("vitascope.cli.commands.models.run", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    code, _, err = run("models")
    assert (code, err) == (143, "vitascope models: stopped by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) == before


def test_only_the_first_of_several_processes_speaks(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("data") == (0, "", "")
    assert run("data", "--json") == (0, "", "")
    assert run("check", place / "images") == (0, "", "")
    assert "does not exist" in run("predict", place / "run", "absent.png")[2]  # but none fails in silence


def test_library_messages_appear_and_debugging_ones_only_when_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def speak(*_: Any) -> dict[str, Any]:
        log = logging.getLogger("vitascope.somewhere")
        log.debug("details")
        log.info("news")
        log.warning("danger")
        return {}

    monkeypatch.setattr("vitascope.cli.commands.models.run", speak)
    assert run("models")[2] == "news\nwarning: danger\n"
    assert run("models", "--verbose")[2] == "details\nnews\nwarning: danger\n"


def test_names_of_files_are_not_taken_for_markup(tmp_path: Path, place: Path, run: Run) -> None:
    folder = image_folder(tmp_path / "[bold]images[/bold]", 3)
    assert "[bold]images[/bold]" in run("predict", place / "run", folder)[1]


@pytest.mark.parametrize(("seconds", "text"), [(8, "8s"), (59.6, "1m00s"), (75, "1m15s"), (4000, "1h06m")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("vitascope.cli.console.time.monotonic", lambda: now[0])
    counter = Counter(Console(), "reading")
    for done in range(1, 21):
        now[0] += 1.0
        counter(done, 20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"reading: \d+/20  \d+s left, until .*\d\d:\d\d", line) for line in lines)
    assert "2/20" in lines[0]
    assert "12/20" in lines[2]


def test_on_a_terminal_the_bar_is_gone_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    screen = io.StringIO()
    console._err = console._out = Rich(file=screen, force_terminal=True, width=80, highlight=False)
    counter = console.counter("reading")
    counter(1, 3)
    console.table("a table", ["name"], [["x"]])
    counter(2, 3)
    counter(3, 3)
    lines = screen.getvalue().split("\n")
    assert any(line.endswith("a table\x1b[0m") and "reading" not in line.rpartition("\x1b[2K")[2] for line in lines)
    assert console._progress is None


def test_a_number_agrees_with_what_it_counts() -> None:
    assert [count(1, "problem"), count(2, "problem"), count(0, "class"), count(1200, "image")] == [
        "1 problem", "2 problems", "0 classes", "1,200 images",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "found"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_do_not_wait_busily_unless_asked_to(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == found
