"""Nothing of the user's is deleted by --overwrite, by any command, and a place that cannot be written is one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import vitascope as vs
from tiny import PRETRAIN_WORDS, image_folder
from tiny_checkpoint import checkpoint
from vitascope.checkpoints.output import atomic_folder, check_output
from vitascope.cli import main
from vitascope.errors import OutputError, UserError

SHORT = ["--steps=2", "--image_size=16", *PRETRAIN_WORDS]
COMMANDS = {
    "convert": ["convert", "{}/ck", "OUT"],
    "convert timm": ["convert", "{}/ck", "OUT", "--format=timm"],
    "convert google": ["convert", "{}/tanh", "OUT", "--format=google"],
    "export": ["export", "{}/ck", "OUT", "--format=openvino"],
    "inspect": ["inspect", "{}/ck", "{}/other", "{}/images/ant/000.png", "--out=OUT", "--show=1"],
    "study": ["study", "inductive-bias", "{}/ck", "--out=OUT", "--no-untrained"],
    "teach": ["teach", "{}/ck", "{}/images", "--out=OUT"],
    "pretrain": ["pretrain", "{}/images", "--out=OUT", *SHORT],
    "finetune": ["finetune", "{}/ck", "{}/images", "--out=OUT", "--steps=2", "--batch=4", "--precision=float32"],
    "sweep": [
        *("finetune", "{}/ck", "{}/images", "--out=OUT", "--steps=2", "--batch=4", "--precision=float32"),
        *("--sweep", "--sweep_rates=[0.1,0.01]", "--holdout=0.4"),
    ],
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, others, and images."""
    home = tmp_path_factory.mktemp("given")
    vs.save(checkpoint(), home / "ck")
    vs.save(checkpoint(), home / "other")
    tanh = vs.create_model("ViT-Ti/8", width=32, depth=1, heads=2, hidden=8, image_size=16, classes=3, gelu="tanh")
    vs.save(checkpoint(tanh.config), home / "tanh")
    image_folder(home / "images", 18)
    return home


def words(name: str, given: Path, out: Path, *more: str) -> list[str]:
    return [w.replace("{}", str(given)).replace("OUT", str(out)) for w in COMMANDS[name]] + list(more)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what the command says; it ends with 2 and without a traceback."""
    capsys.readouterr()
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert len(err.splitlines()[-1]) < 400
    return err.splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_thesis_survives(
    name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "export":
        pytest.importorskip("openvino")
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (home / "deep" / "thesis.tex").write_text("ten years")
    (home / "config.json").write_text('{"vitascope": "mine"}')
    monkeypatch.chdir(home)
    for out in (home, Path("."), home / "deep", home / "config.json"):
        assert refused(words(name, given, out, "--overwrite"), capsys) != ""
    assert files(home) == {"deep/thesis.tex": b"ten years", "config.json": b'{"vitascope": "mine"}'}

    # An earlier output is replaced, but not with the user's own in it.
    out = tmp_path / "out"
    assert main(words(name, given, out)) == 0
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert refused(words(name, given, out), capsys)
    if out.is_dir():
        for place in [out, *(p for p in out.rglob("*") if p.is_dir())]:
            (place / "thesis.tex").write_text("ten years")
            assert "thesis.tex, which --overwrite would delete" in refused(
                words(name, given, out, "--overwrite"), capsys
            )
            (place / "thesis.tex").unlink()
    assert main(words(name, given, out, "--overwrite")) == 0
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["convert", "convert timm", "inspect", "teach", "finetune", "sweep", "study"])
def test_the_source_survives(name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(given, copy)
    assert main(words("finetune", copy, copy / "run")) == 0
    (copy / "ck" / "README.md").unlink()
    shutil.rmtree(copy / "ck")
    (copy / "ck").symlink_to(copy / "run")  # so that CHECKPOINT is a run, and under another name
    before = files(copy)
    for out in (copy / "run", copy / "run" / "model", copy / "ck", copy):
        refused(words(name, copy, out, "--overwrite"), capsys)
    assert files(copy) == before


def test_what_save_overwrites_in_python(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("ten years")
    (tmp_path / "file.npz").write_bytes(b"PK\x03\x04 something of somebody's")
    ck = checkpoint(
        vs.create_model("ViT-Ti/8", width=32, depth=1, heads=2, hidden=8, image_size=16, gelu="tanh").config
    )
    for path, format in (("mine", "vitascope"), ("mine", "timm"), ("file.npz", "google"), ("file.npz", "vitascope")):
        with pytest.raises(UserError, match=r"not ours|of this name"):
            vs.save(ck, tmp_path / path, format=format, overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "ten years"
    # Hugging Face's own folder has the same names, and was not written by us.
    vs.save(ck, tmp_path / "hub", format="timm")
    text = (tmp_path / "hub" / "config.json").read_text()
    (tmp_path / "hub" / "config.json").write_text(text.replace('"written_by"', '"made_by"'))
    with pytest.raises(OutputError, match="not ours"):
        vs.save(ck, tmp_path / "hub", format="timm", overwrite=True)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    vs.save(checkpoint(), tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    other = checkpoint(labels=("x", "y", "z"))
    vs.save(other, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert vs.load(tmp_path / "real").labels == ("x", "y", "z")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_new_name_inside_the_source_is_free(given: Path, tmp_path: Path) -> None:
    shutil.copytree(given / "ck", tmp_path / "ck")
    check_output(tmp_path / "ck" / "inside", "report", sources=[tmp_path / "ck"])


WRITING = {
    **COMMANDS,
    "predict": ["predict", "{}/ck", "{}/images", "--csv=OUT"],
    "evaluate": ["evaluate", "{}/ck", "{}/images", "--confusion=OUT"],
    "demo": ["demo", "--out=OUT"],
    "study data-scaling": ["study", "data-scaling", "{}/images", "{}/images", "--out=OUT"],
    "study compute": ["study", "compute", "{}/images", "{}/images", "--out=OUT"],
}


@pytest.mark.parametrize("name", WRITING)
def test_a_place_that_cannot_be_written(
    name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for bad in ("x" * 300, "x" * 250, "file/below", "file/below/it", "two\nlines", "/proc/1/nowhere", "/dev/null/x"):
        out = Path(bad) if bad.startswith("/") else tmp_path / bad
        said = [w.replace("{}", str(given)).replace("OUT", str(out)) for w in WRITING[name]]
        line = refused(said, capsys)
        assert "cannot be written" in line or "line break" in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", WRITING)
def test_a_link_to_nowhere(name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone" / "away")
    said = [w.replace("{}", str(given)).replace("OUT", str(tmp_path / "out")) for w in WRITING[name]]
    assert "is a link to nowhere" in refused(said, capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        check_output(tmp_path / "x", "report")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["teach", "pretrain"])
def test_the_model_of_a_run_is_not_converted_over(
    name: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(name, given, tmp_path / "run")) == 0
    before = files(tmp_path)
    for format in ("vitascope", "timm"):
        said = refused(words("convert", given, tmp_path / "run" / "model", "--overwrite", f"--format={format}"), capsys)
        assert "is the model of the" in said
    assert files(tmp_path) == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out", what="export") as first:
        (first / "model.xml").write_text("hours of work")
        with pytest.raises(OutputError, match="another process is writing"), atomic_folder(tmp_path / "out"):
            pass
    assert files(tmp_path) == {"out/model.xml": b"hours of work"}
    (tmp_path / ".next.12345678.tmp").mkdir()  # of one that was killed
    with atomic_folder(tmp_path / "next") as second:
        (second / "a").write_text("b")
    assert files(tmp_path) == {"out/model.xml": b"hours of work", "next/a": b"b"}
