"""Checkpoints by name, from servers that answer anything: loaded or refused, and nothing outside the cache changes.

One name for 10 of `count`.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import depot
import vitascope as vs
from depot import COMMIT, Depot, serving, stand_in
from faults import campaign
from faults.campaign import quiet_folder
from faults.fuzz_checkpoints import HOSTILE, LONGEST, damage_bytes, damage_json
from tiny_checkpoint import checkpoint
from vitascope.errors import UserError

SLOW = 20.0
"""Seconds for one name: the Hub's client tries again what may pass."""
REPOSITORY = "someone/tiny-vit"
BUCKET = "vit_models/augreg/tiny.npz"
OURS = (
    REPOSITORY,
    f"hf:{REPOSITORY}",
    f"hf:{REPOSITORY}/model.safetensors",
    f"{REPOSITORY}@{COMMIT}",
    "google:augreg/tiny",
)
SAID = (
    "",
    "..",
    "../../../../thesis",
    "/",
    "a/b",
    "x" * 5000,
    "0",
    "-1",
    "\x1b[31m",
    '"',
    "W/",
    "thesis",
    str(10**30),
    "é",
)
LETTERS = (
    "hf:",
    "google:",
    "/",
    "..",
    "@",
    "%2F",
    ":",
    "a",
    "thesis",
    "\0",
    "\n",
    "é",
    " ",
    "-",
    "~",
    ".npz",
    "\\",
    "x" * 300,
)


def run(seed: int, count: int) -> dict[str, int]:
    """How often each outcome was met; all but "loaded" and "refused" are faults, told with the index."""
    met = Counter[str]()
    with quiet_folder() as place:
        vs.save(checkpoint(), place / "tiny", format="huggingface")
        vs.save(checkpoint(), place / "tiny.npz", format="google")
        for index in range(max(count // 10, 1)):
            campaign.count(met, one(place, random.Random(f"{seed} {index}")), index)
    return dict(met)


def one(place: Path, rng: random.Random) -> str:
    """A name, and a server of a certain ill will, in a home with a thesis in it."""
    home = place / "home"
    (home / "a" / "b").mkdir(parents=True)
    for folder in (home, home / "a", home / "a" / "b", place):
        (folder / "thesis").write_text("ten years")
    hub = Depot()
    hub.add(REPOSITORY, place / "tiny")
    hub.objects[BUCKET] = (place / "tiny.npz").read_bytes()
    spoil(hub, home, rng)
    name = rng.choice(OURS) if rng.random() < 0.8 else "".join(rng.choice(LETTERS) for _ in range(rng.randrange(1, 9)))
    try:
        with pytest.MonkeyPatch.context() as patch, serving(hub):
            answer(patch, rng, home)
            stand_in(hub.url, home / "a" / "b" / "cache", patch)
            said = loaded(name, home)
        strange = [
            p
            for p in home.rglob("*")
            if p.name not in ("a", "b", "thesis") and home / "a" / "b" / "cache" not in (p, *p.parents)
        ]
        lost = [p for p in (home, home / "a", home / "a" / "b", place) if (p / "thesis").read_text() != "ten years"]
        return f"{said}, but {strange} were written and {lost} changed" if strange or lost else said
    finally:
        shutil.rmtree(home)


def spoil(hub: Depot, home: Path, rng: random.Random) -> None:
    """What the server has and how it sends it."""
    files = hub.repositories[REPOSITORY]
    name = rng.choice(sorted(files))
    match rng.randrange(9):
        case 0:
            files[name] = damage_bytes(files[name], rng)
        case 1:
            files["config.json"] = damage_json(files["config.json"].decode(), rng).encode()
        case 2:
            files[
                rng.choice(("../thesis", f"{home}/thesis", "a/../../x.safetensors", "model.safetensors.index.json"))
            ] = b"{}"
        case 3:
            files["model.safetensors.index.json"] = json.dumps(
                {"weight_map": rng.choice(HOSTILE[:40])}, default=str
            ).encode()
        case 4:
            hub.cut = [rng.randrange(2000) for _ in range(rng.randrange(5))]
        case 5:
            hub.spoil = True
        case 6:
            hub.objects[BUCKET] = damage_bytes(hub.objects[BUCKET], rng)
        case 7:
            hub.status = rng.choice((204, 301, 400, 401, 403, 404, 410, 418))
        case _:
            hub.knows_ranges = False


def answer(patch: pytest.MonkeyPatch, rng: random.Random, home: Path) -> None:
    """Headers and descriptions that say something else, in half of the cases."""
    real, changed = depot._Handler._send, rng.random()
    header = rng.choice(
        ("ETag", "X-Linked-Etag", "X-Repo-Commit", "X-Linked-Size", "Location", "x-goog-hash", "Accept-Ranges")
    )
    said = rng.choice((*SAID, str(home / "thesis")))
    seed = rng.random()

    def send(
        self: Any, status: int, headers: dict[str, str] | None = None, body: bytes = b"", length: int = -1
    ) -> None:
        headers = dict(headers or {})
        if changed < 0.3 and header in headers:
            headers[header] = (
                f'"{said}"' if "tag" in header.lower() else said.encode("latin-1", "replace").decode("latin-1")
            )
        elif changed < 0.5 and b'"siblings"' in body:
            body = described(json.loads(body), random.Random(seed))
        real(self, status, headers, body, length)

    patch.setattr(depot._Handler, "_send", send)


def described(told: dict[str, Any], rng: random.Random) -> bytes:
    """What the Hub says of a repository, with something wrong in it."""
    place: Any = rng.choice((told, told["siblings"], rng.choice(told["siblings"])))
    key = rng.choice(range(len(place)) if isinstance(place, list) else sorted(place))
    place[key] = copy.deepcopy(rng.choice(HOSTILE))
    return json.dumps(told).encode() if rng.random() < 0.8 else damage_json(json.dumps(told), rng).encode()


def loaded(name: str, home: Path) -> str:
    """What loading does."""
    began = time.monotonic()
    try:
        vs.load(name)
        said = "loaded"
    except UserError as error:
        text = re.sub(rf"{re.escape(str(home))}|x{{250,}}", "", str(error))
        fine = "\n" not in text and len(text) <= LONGEST + 200
        said = "refused" if fine else f"message of {len(text)} characters: {text[:200]!r}"
    except BaseException as error:
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "vitascope" in f.filename][-1]
        said = f"{type(error).__name__} at {Path(ours.filename).name}:{ours.lineno}: {str(error)[:100]}"
    seconds = time.monotonic() - began
    return f"{said} after {seconds:.0f} seconds" if seconds > SLOW else said
