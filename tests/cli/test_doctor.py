"""`vitascope doctor`: what is here, what is missing and how to add it, what is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from commanding import Run
from vitascope.cli.commands import doctor
from vitascope.optional import EXTRAS, Extra, state


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every extra, and a processor that is not measured."""
    monkeypatch.setattr(doctor, "state", lambda extra: "present")
    monkeypatch.setattr("vitascope.precision.bfloat16_gain", lambda: 2.0)


def test_of_this_installation_nothing_is_broken() -> None:
    done = subprocess.run([sys.executable, "-m", "vitascope", "doctor", "--json"], capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert set(told["extras"]) == set(EXTRAS)
    assert told["versions"]["torch"]
    assert told["processor"]["precision"] in ("float32", "bfloat16")
    assert told["memory"]["free"] <= told["memory"]["total"]
    assert told["start"] == "the package's own model loads and computes"


@pytest.mark.usefixtures("present")
def test_what_it_tells_people(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.npz").write_bytes(b"0" * 3_000_000)
    monkeypatch.setattr(doctor, "state", lambda extra: "missing" if extra in ("heic", "onnx") else "present")
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    monkeypatch.setattr(doctor, "_cores", lambda: 2)
    code, out, _ = run("doctor")
    assert code == 0
    assert f"{tmp_path}: features 3 MB; " in out
    assert "to add what is missing, or some of it: pip install 'vitascope[heic,onnx]'" in out
    assert "note: 64 threads share 2 cores, which is slower than 2: set OMP_NUM_THREADS=2" in out
    assert out.splitlines()[-1] == "nothing is broken"


@pytest.mark.usefixtures("present")
def test_what_is_broken_ends_with_2_and_how_to_mend_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(doctor, "state", lambda extra: "broken: no libheif" if extra == "heic" else "present")
    monkeypatch.setattr("vitascope.checkpoints.load.load", lambda name: 1 / 0)
    code, out, _ = run("doctor", "--json")
    assert code == 2
    assert json.loads(out)["problems"] == [
        f"{tmp_path / 'file'} cannot be written, where vitascope keeps what it fetches; "
        "set VITASCOPE_CACHE to another folder",
        "the package's own model does not work (division by zero); install vitascope again",
        "heic: no libheif; run: pip install 'vitascope[heic]' --upgrade",
    ]


def test_a_library_is_present_missing_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import missing_in_turn")
    (tmp_path / "failing_library.py").write_text("raise OSError('libx.so.3: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    for module, expected in {
        "json": "present",
        "absent_library": "missing",
        "broken_library": "broken: No module named 'missing_in_turn'",
        "failing_library": "broken: libx.so.3: no such file",
    }.items():
        monkeypatch.setitem(EXTRAS, "x", Extra(what="a test", modules=("sys", module)))
        assert state("x") == expected


def test_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    developers = {"all", "dev", "peers", "notebooks", "browser", "clients", "docs"}
    assert EXTRAS.keys() == declared["optional-dependencies"].keys() - developers


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000", 2), ("max 100000", 8), ("20000 100000", 1)])
def test_a_container_s_share_of_the_processor(
    limit: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(doctor, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert doctor._cores() == cores


@pytest.mark.usefixtures("present")
def test_a_library_that_is_missing_is_what_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LIBRARIES", (*doctor._LIBRARIES, "no-such-library"))
    code, said, _ = run("doctor", "--json")
    told = json.loads(said)
    assert (code, told["versions"]["no-such-library"]) == (2, "missing")
    assert told["problems"] == ["no-such-library is not installed; install it: pip install no-such-library"]
