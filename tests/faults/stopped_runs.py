"""Runs that are killed, told to end or interrupted at random moments until they are done: always the same run.

One run for 100 of `count`, each of some seconds. The record's last lines are garbled now and then, as by a power
failure: those are lost, and nothing else.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tiny import PRETRAIN_WORDS, image_folder, start
from vitascope.training.record import METRICS

ALLOWED = ("same", "same, lines lost")
CODES = (0, 143, 130, -signal.SIGKILL)
WORDS = ["--steps=300", "--eval_every=50", "--save_every=20", "--log_every=5", "--ema=0.9", "--keep=best"]


def run(seed: int, count: int) -> dict[str, int]:
    """How often a run came to the same end; anything else names what differed."""
    random, found = np.random.default_rng(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        words = ["pretrain", str(image_folder(place / "images")), *WORDS, *PRETRAIN_WORDS]
        begun = time.monotonic()
        start(*words, f"--out={place / 'whole'}").communicate(timeout=600)
        longest = 1.3 * (time.monotonic() - begun)  # most are stopped on the way, however fast the machine is
        for number in range(max(count // 100, 1)):
            found[one(words, place / "whole", place / f"run{number}", random, longest)] += 1
    return dict(found)


def one(words: list[str], whole: Path, out: Path, random: np.random.Generator, longest: float) -> str:
    garbled = False
    for _ in range(100):
        process = start(*words, f"--out={out}", "--resume=auto", f"--workers={random.integers(2)}")
        time.sleep(random.uniform(0, longest))
        process.send_signal([signal.SIGKILL, signal.SIGTERM, signal.SIGINT][random.integers(3)])
        _, err = process.communicate(timeout=120)
        # Python itself does not hear SIGTERM before our first line.
        # A data worker may be surprised by its parent's death; all else is one line.
        known = process.returncode in (*CODES, -signal.SIGTERM, -signal.SIGINT)
        if not known or ("Traceback" in err and process.returncode != -signal.SIGKILL):
            return f"exit code {process.returncode}: {err.splitlines()[-1:]}"
        if process.returncode == 0:
            break
        record = out / METRICS
        if record.is_file() and random.random() < 0.2:
            content = record.read_bytes()
            record.write_bytes(content[: -len(content) // 10] + b"\0" * (len(content) // 10))
            garbled = garbled or bool(content)
    else:
        start(*words, f"--out={out}", "--resume=auto").communicate(timeout=600)
    names = ["model/model.safetensors"] if garbled else ["model/model.safetensors", METRICS]
    other = [name for name in names if (out / name).read_bytes() != (whole / name).read_bytes()]
    return f"other {' and '.join(other)}" if other else "same, lines lost" if garbled else "same"
