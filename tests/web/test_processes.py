"""`vitascope serve` as a process of its own: when it is ready, how it ends, and what it says when it cannot begin."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import vitascope as vs
from depot import Depot
from serving import png, process
from tiny_checkpoint import checkpoint
from vitascope.cli import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place") / "flowers"
    vs.save(checkpoint(), place)
    return place


def test_a_name_is_served(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vs.save(checkpoint(), tmp_path / "tiny", format="timm")
    depot.add("someone/tiny-vit", tmp_path / "tiny")
    monkeypatch.setenv("HF_ENDPOINT", depot.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with (
        process("someone/tiny-vit") as (_, address),
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        answer = client.post("/predict", content=png())
        assert answer.status_code == 200, answer.text
    assert depot.fetched(".safetensors") == ["model.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_drains(saved: Path, number: signal.Signals, code: int, said: str) -> None:
    words = ["--batch_wait=1", "--name=blumen", "--max-images", "2"]
    with process(saved, *words) as (running, address), ThreadPoolExecutor(4) as threads:
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            assert client.get("/v2/models/blumen/ready").status_code == 200
            assert client.post("/predict", files=[("image", png())] * 3).status_code == 413
            waiting = [threads.submit(client.post, "/predict", content=png(i)) for i in range(4)]
            time.sleep(0.4)
            running.send_signal(number)
            expected = [vs.Predictor(saved)(png(i))[0][0] for i in range(4)]
            for answer, (label, _, probability) in zip([w.result() for w in waiting], expected, strict=True):
                best = answer.json()["predictions"][0]["labels"][0]
                assert (best["label"], best["probability"]) == (label, pytest.approx(probability, abs=1e-6))
        out, err = running.communicate(timeout=30)
        assert running.returncode == code, err
        assert out == ""
        lines = err.splitlines()
        assert lines[0] == f"loading blumen; open {address} in a browser (Ctrl-C ends it)"
        assert lines[1].startswith(f"ready: {address} for the page")
        assert lines[-1] == f"vitascope serve: {said}"
        assert "Traceback" not in err
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1):
            pass


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The last line of a command that ends with 2."""
    assert main(["serve", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("vitascope serve: error: ")
    return last


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}"], "holds no weights"),
        (["{}/absent"], "no such file or folder"),
        (["{}/flowers", "--device=abacus"], "device 'abacus'"),
        (["{}/flowers", "--image_size=17"], "17"),
        (["{}/flowers", "--image_size=[16,20]"], "16×20"),
        (["{}/flowers", "--port=99999"], "port is 99999"),
        (["{}/flowers", "--port=x"], "--port"),
        (["{}/flowers", "--host=no.such.host.invalid"], "no address of this machine"),
        (["{}/flowers", "--host=192.0.2.1"], "cannot be opened"),
        (["{}/flowers", "--name=a/b"], "name is 'a/b'"),
        (["{}/flowers", "--batch=0"], "batch is 0"),
        (["{}/flowers", "--answer_timeout=0"], "--answer-timeout is 0"),
        (["{}/flowers", "--batch_wait=nan"], "--batch-wait"),
        (["{}/flowers", "--queue=3"], "raise queue or lower max_images"),
        (["{}/flowers", "--prot=1"], "did you mean --port"),
        ([], "CHECKPOINT is missing"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_2(
    words: list[str], said: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flowers").symlink_to(saved)
    port = [] if any("--port" in word for word in words) else ["--port=0"]
    assert said in refused(capsys, *(w.replace("{}", str(tmp_path)) for w in words), *port)


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitascope.checkpoints.load.load", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(capsys, saved, f"--port={taken.getsockname()[1]}")
    assert "address already in use); choose another --port" in said


def test_a_damaged_checkpoint_is_told_and_the_server_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vs.save(checkpoint(), tmp_path / "ck")
    weights = tmp_path / "ck" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    assert "model.safetensors" in refused(capsys, tmp_path / "ck", "--port=0")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart"])
def test_an_absent_or_broken_extra_is_one_line(package: str, saved: Path, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("raise RuntimeError('broken')\n")
    code = "import sys; from vitascope.cli import main; c = main(sys.argv[1:]); sys.exit(c + ('torch' in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code, "serve", str(saved)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1
    assert "pip install 'vitascope[serve]'" in result.stderr
