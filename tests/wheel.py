"""A wheel, installed alone in an environment of its own, does what the package promises: python tests/wheel.py

Builds the wheel, makes a fresh environment, installs the wheel with the extras `serve` and `onnx` and nothing of
`dev`, and runs there, in an empty folder: demo, teach, predict, serve and its page, export as ONNX and as a web page.
Says what each took; ends with an error at the first that fails. PIP_EXTRA_INDEX_URL and the like are pip's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
EXTRAS = "serve,onnx"
DEMO = "100s"
"""Time of the demo's training, which it needs to come through all of its steps."""


def main() -> None:
    """Builds, installs, runs."""
    with tempfile.TemporaryDirectory(prefix="vitascope-wheel-") as folder:
        place = Path(folder)
        told = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
        step("wheel built", *told, "wheel", "--no-deps", "--wheel-dir", str(place), str(ROOT))
        wheel = next(place.glob("vitascope-*.whl"))
        check_contents(wheel)
        step("environment made", sys.executable, "-m", "venv", str(place / "env"))
        inside = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        pip = (str(inside / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
        constraints = ("-c", str(ROOT / "constraints.txt"))
        step("installed", *pip, *constraints, f"vitascope[{EXTRAS}] @ {wheel.as_uri()}")
        run = Run(str(inside / "vitascope"), place / "work")
        run("doctor")
        run("demo", "--out", "runs/demo", "--time-budget", DEMO)
        run("teach", "start", "digits", "--out", "runs/digits")
        run("predict", "runs/digits", run.picture(inside))
        run("export", "runs/digits", "onnx", "--format", "onnx")
        run("export", "runs/digits", "page.html", "--format", "web", "--one-file")
        run("evaluate", "onnx", "digits")
        run.serve("runs/digits")
        for made in ("runs/demo/report.html", "runs/digits/report.html", "onnx/model.onnx", "page.html"):
            assert (run.folder / made).stat().st_size > 1000, made
    print("the wheel stands alone")


def check_contents(wheel: Path) -> None:
    """Every file of the package that git keeps is in the wheel."""
    said = subprocess.run(("git", "ls-files", "src/vitascope"), cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {name.removeprefix("src/") for name in said.stdout.splitlines()}
    with ZipFile(wheel) as packed:
        missing = kept - set(packed.namelist())
    assert not missing, f"not in the wheel: {sorted(missing)}"


class Run:
    """Commands of the installed package in a folder of their own, without a word of this repository around them."""

    def __init__(self, program: str, folder: Path) -> None:
        folder.mkdir()
        self.program, self.folder = program, folder
        self.surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def __call__(self, *words: str) -> None:
        step(f"vitascope {words[0]}", self.program, *words, cwd=self.folder, env=self.surroundings)

    def picture(self, inside: Path) -> str:
        """A digit as a file."""
        draws = "import vitascope as vs; from PIL import Image; image = vs.open_data('digits').test[0]; "
        draws += "Image.fromarray(image.repeat(8, 0).repeat(8, 1)).save('digit.png')"
        step("digit drawn", str(inside / "python"), "-c", draws, cwd=self.folder, env=self.surroundings)
        return "digit.png"

    def serve(self, checkpoint: str) -> None:
        """Starts a server, asks for its page and for a prediction, and stops it."""
        begun = time.perf_counter()
        words = (self.program, "serve", checkpoint, "--port", "0", "--json")
        with subprocess.Popen(
            words, cwd=self.folder, env=self.surroundings, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            page = urllib.request.urlopen(url, timeout=60).read().decode()
            body = (self.folder / "digit.png").read_bytes()
            asked = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "image/png"})
            answer = json.load(urllib.request.urlopen(asked, timeout=60))
            server.terminate()
        assert "<html" in page
        assert answer["predictions"], answer
        told("vitascope serve", begun, json.dumps(answer)[:120])


def step(title: str, *words: str, **options: Any) -> None:
    """Runs one program, and says how long it took; ends all with what it said where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{title}: {' '.join(words)} ended with {done.returncode}\n{done.stdout[-4000:]}")
    last = done.stdout.strip().splitlines()
    told(title, begun, last[-1][:120] if last else "")


def told(title: str, begun: float, last: str) -> None:
    print(f"{title}: {time.perf_counter() - begun:.0f} s  {last}", flush=True)


if __name__ == "__main__":
    main()
