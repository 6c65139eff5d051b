"""Checkpoints of every format, with values, names and bytes of descriptions and weights changed, through `load`."""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import vitascope as vs
from faults import campaign
from faults.campaign import quiet_folder
from tiny_checkpoint import TINY, checkpoint
from tiny_families import ROUND_TRIPS
from vitascope.checkpoints.checkpoint import numbered_labels
from vitascope.checkpoints.formats.names import FORMATS
from vitascope.data.preprocess import Preprocess
from vitascope.errors import UserError
from vitascope.models.config import BiTConfig, StemConfig

SLOW, LONGEST = 5.0, 500
"""Seconds for one load, and characters of a message besides the path."""
_LARGEST = 500_000
"""Weights of a checkpoint that is damaged again and again."""
HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        0.5,
        -0.0,
        1e-320,
        1e308,
        float("inf"),
        float("nan"),
        2**31,
        2**63,
        10**30,
        10**400,
    ),
    *("", "x", "0", "nan", "\x00", "é\u2028" * 50, "a\nb", [], {}, [[]], [{}], [None], [1, 2], [1, 2, 3], ["a", "b"]),
    *([0, 0], [-1, 5], [8, 10**9], [0.5] * 3, [float("nan")] * 3, {"height": 0, "width": 8}, {"shortest_edge": []}),
    *({"0": "a"}, {"0": 1, "1": None}, {"height": 16, "width": 16}, {"units": []}, {"width_factor": 0.3}),
)


def run(seed: int, count: int) -> dict[str, int]:
    """`count` damaged checkpoints → how often each outcome was met; `damaged` makes one of them again."""
    met = Counter[str]()
    with quiet_folder() as folder:
        (folder / "whole").mkdir()
        whole = bases(folder / "whole")
        for index in range(count):
            campaign.count(met, outcome(damaged(whole, seed, index, folder / "case")), index)
            shutil.rmtree(folder / "case")
    return dict(met)


def damaged(whole: Sequence[Path], seed: int, index: int, folder: Path) -> Path:
    """Checkpoint `index`, made in the new folder `folder` from one of the whole ones."""
    rng = random.Random(f"{seed} {index}")
    base = rng.choice(whole)
    place = folder / base.name
    if base.is_dir():
        shutil.copytree(base, place)
    else:
        folder.mkdir()
        shutil.copy(base, place)
    damage(place, rng)
    return place


def bases(folder: Path) -> list[Path]:
    """Whole checkpoints of every family in every format, small."""
    erf = replace(TINY, gelu="erf", width=64, heads=1)
    hybrid = replace(TINY, image_size=(32, 32), patch=2, stem=StemConfig(units=(1,), width_factor=0.5))
    bit = BiTConfig(image_size=(32, 32), units=(1, 1), base_width=32, classes=3)
    own = [("own", "vitascope", TINY), ("own_hybrid", "vitascope", hybrid), ("own_bit", "vitascope", bit)]
    other = [("timm", "timm", erf), ("torchvision.pth", "torchvision", erf)]
    families = [(_file(format, number), format, config) for number, (format, config) in enumerate(ROUND_TRIPS)]
    for name, format, config in (*own, *other, *families):
        labels = tuple("abc") if config.classes == 3 else numbered_labels(config.classes)
        preprocess = Preprocess(size=config.image_size, channels=config.channels, fit="squash")
        ck = checkpoint(config, labels=labels, preprocess=preprocess)
        if sum(parameter.numel() for parameter in ck.model.parameters()) < _LARGEST:
            vs.save(ck, folder / name, format=format)
    state = load_file(folder / "timm" / "model.safetensors")
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    held = {
        "state_dict": wrapped,
        "args": argparse.Namespace(model="vit_x"),
        "optimizer": {"state": {0: torch.ones(2)}},
    }
    torch.save(held, folder / "wrapped.pth")
    torch.save(wrapped, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    return sorted(folder.iterdir())


def _file(format: str, number: int) -> str:
    endings = FORMATS[format]
    return f"{format}_{number}{endings[0] if endings else ''}"


def damage_json(text: str, rng: random.Random) -> str:
    """A description with one value replaced, one name lost, renamed or doubled, or its text broken."""
    if rng.random() < 0.1:
        return rng.choice(
            (
                "",
                "[" * 100_000,
                '{"a":' * 5000,
                "nul",
                '"x"',
                "[]",
                text[: rng.randrange(len(text))],
                "1" * 9999,
                text * 2,
            )
        )
    values = json.loads(text)
    place: Any = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        kind = rng.random()
        if kind < 0.15 and isinstance(place, dict):
            del place[key]
        elif kind < 0.2 and isinstance(place, dict):
            place[f"{key}_"] = place.pop(key)
        elif kind < 0.25:
            place[key] = [place[key]]
        elif kind < 0.3 and isinstance(place[key], int | float):
            place[key] = place[key] * rng.choice((-1, 0, 2, 1000, 0.5, 10**12))
        else:
            place[key] = copy.deepcopy(rng.choice(HOSTILE))
        return json.dumps(values)


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """A file cut, filled, or with bits flipped, most often near its ends, where the headers are."""
    changed, kind = bytearray(content), rng.random()
    at = rng.randrange(len(content))
    if rng.random() < 0.5:
        at = min(at, rng.randrange(1, 600)) if rng.random() < 0.5 else max(at, len(content) - rng.randrange(1, 1500))
    if kind < 0.15:
        return content[:at]
    if kind < 0.25:
        return content[:at] + rng.randbytes(rng.randrange(1, 100)) + content[at:]
    if kind < 0.35:
        changed[at : at + rng.randrange(1, 300)] = b""
    elif kind < 0.5:
        changed[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80" * 2))
    else:
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[min(at + rng.randrange(64), len(content) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def damage(place: Path, rng: random.Random) -> None:
    """One file of a checkpoint, its description more often than its weights, or the description inside its weights."""
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    described = [file for file in files if file.suffix == ".json"]
    file = rng.choice(described) if described and rng.random() < 0.7 else rng.choice(files)
    content = file.read_bytes()
    if file.suffix == ".json":
        text = damage_json(content.decode(), rng)
        file.write_bytes(damage_bytes(text.encode(), rng) if text and rng.random() < 0.1 else text.encode())
    elif file.suffix == ".safetensors" and rng.random() < 0.5:
        length = int.from_bytes(content[:8], "little")
        header = damage_json(content[8 : 8 + length].decode(), rng).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    else:
        file.write_bytes(damage_bytes(content, rng))


def outcome(place: Path) -> str:
    """What loading does."""
    start = time.monotonic()
    try:
        vs.load(place)
        said = "read"
    except UserError as error:
        text = str(error).replace(str(place), "")
        one_line = "\n" not in text and len(text) <= LONGEST
        said = "refused" if one_line else f"message of {len(text)} characters: {text[:200]!r}"
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "vitascope" in f.filename][-1]
        where = f"{Path(ours.filename).name}:{ours.lineno} ({Path(frame.filename).name})"
        said = f"{type(error).__name__} at {where}: {str(error)[:100]}"
    seconds = time.monotonic() - start
    return f"{said} after {seconds:.0f} seconds" if seconds > SLOW else said
