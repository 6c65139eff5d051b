"""Runs of `teach` with bytes and values changed, taught more: what they knew is still there, or they are refused.

One run for 10 of `count`.
"""

from __future__ import annotations

import json
import random
import shutil
import traceback
from collections import Counter
from pathlib import Path

import vitascope as vs
from faults import campaign
from faults.campaign import quiet_folder
from faults.fuzz_checkpoints import LONGEST, damage_bytes, damage_json
from tiny import image_folder
from tiny_checkpoint import checkpoint
from vitascope.errors import UserError
from vitascope.recipes.asked import Similar, Teach
from vitascope.recipes.similar import similar
from vitascope.recipes.teach import teach_run
from vitascope.whole import sha256

FILES = ("results.json", "taught.safetensors", "environment.json", "model/config.json", "model/model.safetensors")
_IMAGES = 24 + 12


def run(seed: int, count: int) -> dict[str, int]:
    """How often each outcome was met; all but "read" and "refused" are faults, told with the index."""
    met = Counter[str]()
    with quiet_folder() as place:
        vs.save(checkpoint(), place / "start")
        image_folder(place / "images", 24)
        image_folder(place / "more", 12, seed=1)
        _teach(place / "start", place / "images", place / "run")
        for index in range(max(count // 10, 1)):
            shutil.copytree(place / "run", place / "case")
            damage(place / "case", random.Random(f"{seed} {index}"))
            campaign.count(met, outcome(place), index)
            for folder in ("case", "next"):
                shutil.rmtree(place / folder, ignore_errors=True)
    return dict(met)


def damage(run: Path, rng: random.Random) -> None:
    """Something of a run lost, changed, or changed and its SHA-256 with it."""
    file = run / rng.choice((*FILES[:2], *FILES))
    content = file.read_bytes()
    if rng.random() < 0.15:
        file.unlink()
    elif file.suffix == ".json":
        file.write_text(damage_json(content.decode(), rng))
    elif rng.random() < 0.5:
        length = int.from_bytes(content[:8], "little")
        header = damage_json(content[8 : 8 + length].decode(), rng).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    else:
        file.write_bytes(damage_bytes(content, rng))
    if file.name == "taught.safetensors" and file.exists() and rng.random() < 0.7:  # by somebody who means it
        values = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps({**values, "taught_sha256": sha256(file)}))


def outcome(place: Path) -> str:
    """What teaching `more`, and asking what decided an answer, does."""
    try:
        images = _teach(place / "case", place / "more", place / "next")
        similar(Similar(checkpoint=str(place / "case"), image=str(place / "more" / "ant" / "000.png"), device="cpu"))
        return "read" if images == _IMAGES else f"{images} images are known, not {_IMAGES}"
    except UserError as error:
        text = str(error).replace(str(place), "")
        return "refused" if "\n" not in text and len(text) <= LONGEST else f"message of {len(text)}: {text[:200]!r}"
    except BaseException as error:
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "vitascope" in f.filename][-1]
        return f"{type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}: {str(error)[:100]}"


def _teach(start: Path, data: Path, out: Path) -> int:
    """How many images it knows then."""
    asked = Teach(checkpoint=str(start), data=str(data), out=str(out), device="cpu")
    return len(teach_run(asked).known)
