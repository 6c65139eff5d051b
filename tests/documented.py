"""What README and docs/ tell to run, and a workshop in which all of it can be run, small."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import tiny_study
import vitascope as vs
from tiny import FIELDS, image_folder
from tiny_checkpoint import TINY, checkpoint
from vitascope.cli import COMMANDS, main
from vitascope.models.catalogue import model_config
from vitascope.studies.ablation.table import ABLATIONS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "docs" / "site" / "index.md"]

NOT_HERE = {
    r"make (demo|test|check|torture|docs|wheel-test|bench)": "installs, or takes minutes; its target is looked up",
    r"python3 -m venv |\.venv/bin/pip install |pip install ": "installs from the network; extras are looked up",
    r"source |\.venv/bin/vitascope demo$": "the shell's own, or what make does",
    r"vitascope demo$": "two minutes; tests/recipes/test_demo.py runs it with fewer digits",
    r"\.venv/bin/python -m pytest ": "these tests",
    r"vitascope export .*--format web": "npm fetches ONNX Runtime once; tests/web/test_classifier.py opens a page",
    r"vitascope export .*--compare": "makes every format; tests/inference/test_format_contest.py does, and times them",
    r"hf auth login$|vitascope push ": "an account of the Hub; tests/checkpoints/test_push.py pushes to its own server",
    r'vs\.load\("me/': "what was pushed there; tests/checkpoints/test_push.py loads it",
    r"import numpy as np\nimport tritonclient": "needs a server; tests/web/test_triton_client.py has one",
    r"torchrun ": "several processes; tests/training/test_parallel.py runs them",
    r"(docker|kubectl|systemctl|sudo|curl) ": "programs and services that a test machine need not have",
}
"""Beginning of a command → why it is not run here."""

WORDS = {
    "CHECKPOINT": "runs/tiny", "RUN": "runs/mine", "RUN2": "runs/again", "MORE": "others", "OUT": "given",
    "DATA": "photos", "SOURCE": tiny_study.SOURCE, "TARGET": "target", "FURTHER": "further",
    "DIR": "shown", "IMAGES": "new", "FILE": "a.jpg",
}  # fmt: skip
"""What capitals stand for; `[OTHER…]`, which need not be given, is not."""

_STUDY = "--image-size 16 --batch 8 --validation-images 12 --finetune-steps 2 --shots 2 --draws 2 --seeds 1 --jobs 1"
SMALLER = {
    "train": "--start runs/tiny --image-size 16 --way teach --time-budget 60s --threads 1",
    "pretrain": f"--steps 2 --model ViT-Ti/8 --model-fields {str(FIELDS).replace(' ', '')} --image-size 16 "
    "--batch 8 --whiten 0 --augment.crop none",
    "finetune": "--steps 2 --batch 8 --image-size 16",
    "enough": "--start runs/tiny",
    "inspect": "--show 1",
    "serve": "--port 0",
    "study data-scaling": f"{_STUDY} --sizes 24 --steps 2",
    "study compute": f"{_STUDY} --steps 2",
    "study ablation": f"{_STUDY} --steps 1 --validation-images 6",
    "study cost": "--models ViT-128/8,BiT-R14x½ --sizes 32,64 --batch 1 --rounds 1",
    "study inductive-bias": "--image-size 16",
}
"""Options that are added, so that a command takes a second; the last of two counts."""

NEEDS = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "vitascope export": "onnxscript",
    "serve small": "onnxscript",
}
"""What stands in a text → the package without which it is not run."""


@dataclass(frozen=True)
class Told:
    """A command or block of Python that a page tells to run."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text.splitlines()[0][:60]}"

    @property
    def why_not(self) -> str | None:
        """Why it is not run here; None where it is."""
        return next((why for begin, why in NOT_HERE.items() if re.match(begin, self.text)), None)


def fences(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """Line and text of each block of code in one of these languages."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if found[1] in languages:
            yield text[: found.start(2)].count("\n") + 1, found[2]


def commands() -> Iterator[Told]:
    """Every command of every page: all blocks that name no other language hold commands, one a line."""
    for page in PAGES:
        for start, block in fences(page, "", "bash", "sh", "console"):
            joined = re.sub(r"\\\n\s*", " ", block)
            for number, line in enumerate(joined.splitlines()):
                command = re.sub(r"(^|\s)#\s.*$", "", line).strip()
                if command:
                    yield Told(str(page.relative_to(ROOT)), start + number, command)


def programs() -> Iterator[Told]:
    """The Python of every page: its blocks run one after the other in one space."""
    for page in PAGES:
        if found := list(fences(page, "python")):
            yield Told(str(page.relative_to(ROOT)), found[0][0], "\n".join(block for _, block in found))


def spans() -> Iterator[Told]:
    """Commands within sentences, such as `vitascope enough photos/`, and options such as `--holdout`."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
        for found in re.finditer(r"`([^`]+)`", prose):
            if re.match(r"vitascope [a-z]|--[a-z]", found[1]):
                line = prose[: found.start()].count("\n") + 1
                yield Told(str(page.relative_to(ROOT)), line, " ".join(found[1].split()))


def name_of(words: list[str]) -> str:
    """The command that begins with these words: "study compute"."""
    two = " ".join(words[:2])
    return two if two in COMMANDS else words[0]


def small(command: str) -> list[str]:
    """The words of `vitascope …` as they are run in the workshop."""
    plain = re.sub(r"\[[A-Z]+…\]", "", command)
    words = [WORDS.get(word, word) for word in shlex.split(re.sub(r" --time-budget \S+", "", plain))[1:]]
    name = name_of(words)
    calibrated = ["--samples", "8"] if "--calibration" in words else []
    return words + SMALLER.get(name, "").split() + calibrated


_NARROW: dict[str, Any] = {**FIELDS, "depth": 1, "classes": 3, "image_size": 32}
"""ViT-B/16 as far as its name and patches go."""


def fill(place: Path, patch: pytest.MonkeyPatch) -> None:
    """Makes in a folder everything that the pages' commands read, under the names that they have there."""
    tiny_study.quicker(patch)
    patch.setattr("vitascope.training.speed._MEASURED", 0.0)
    for name, kind in ABLATIONS.items():  # all variants: tests/studies/test_ablation.py
        patch.setitem(ABLATIONS, name, replace(kind, variants=lambda base, kind=kind: kind.variants(base)[:2]))
    patch.setattr("vitascope.views.report_files.save_figure", lambda figure, path: None)
    image_folder(place / "photos", 45)
    for number, image in enumerate(sorted((place / "photos").rglob("*.png"))):
        image.rename(image.with_name(f"plant{number % 20}_{image.name}"))
    image_folder(place / "others", 24, seed=1)
    shutil.copytree(place / "photos", place / "data" / "flowers")
    for name in ("target", "further"):
        tiny_study.target(place / name)
    for folder in ("new", "archive"):
        shutil.copytree(place / "others" / "bee", place / folder)
    for name in ("a.jpg", "b.jpg", "photo.jpg"):
        shutil.copy(place / "new" / sorted(path.name for path in (place / "new").iterdir())[0], place / name)
    rows = [f"{image.relative_to(place)},{image.parent.name},{image.name.partition('_')[0]}"
            for image in sorted((place / "photos").rglob("*.png"))]  # fmt: skip
    (place / "list.csv").write_text("\n".join(["file,label,patient", *rows]), encoding="utf-8")
    vs.save(checkpoint(TINY, labels=("ant", "bee", "cat")), place / "runs" / "tiny")
    vs.save(checkpoint(model_config("ViT-B/16", **_NARROW)), place / "ViT-B_16.npz", format="google")
    patch.chdir(place)
    assert main(small("vitascope train photos --out runs/mine")) == 0
    for room in ("run", "teach", "train"):  # one is enough, and has kept its examples
        patch.setattr(f"vitascope.recipes.{room}.write_run_report", lambda folder, report: None)
    for name in ("photos", "taught", "flowers", "second", "start"):
        shutil.copytree(place / "runs" / "mine", place / "runs" / name)
    shutil.copytree(place / "runs" / "mine", place / "me" / "flowers")  # as what was pushed would be, of a Hub
    for name, contender in (("vit", tiny_study.TINY[0]), ("resnet", tiny_study.TINY[1])):
        config = model_config(contender.model, classes=3, image_size=32, **contender.fields)
        vs.save(checkpoint(config), place / "runs" / name)
