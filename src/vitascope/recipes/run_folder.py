"""The folder of a run: config.yaml, labels.json, environment.json, metrics.jsonl, checkpoints/, model/, results."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from vitascope.checkpoints.output import atomic_file, check_output, check_writable
from vitascope.checkpoints.run_files import ENVIRONMENT, environment, read_json, readable, write_json
from vitascope.errors import ConfigError, OutputError
from vitascope.lock import LOCK
from vitascope.recipes.prepare import RunData
from vitascope.recipes.recipe import Recipe, differences, to_dict
from vitascope.training.parallel import World
from vitascope.wording import some
from vitascope.yaml_text import check_yaml

log = logging.getLogger(__name__)

CONFIG, LABELS, SWEEP = "config.yaml", "labels.json", "sweep"


Resume = bool | Literal["auto"]
"""Whether a run is gone on with; auto: where there is one."""


def check_free(
    folder: Path, *, resume: Resume, overwrite: bool, sources: Sequence[str | Path] = (), sweep: bool = False
) -> bool:
    """Whether to go on with a run, or a `sweep`, in `folder`. `ConfigError` unless new, resumed or to be overwritten.

    What is overwritten must be a run, hold nothing else, and have nothing to do with `sources`.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other: give one")
    check_writable(folder)
    there = (folder / CONFIG).is_file() or (sweep and (folder / SWEEP).is_dir())
    if resume is True and not there:
        raise ConfigError(f"{folder} holds no run to resume (no {CONFIG}); leave out --resume to start one")
    if resume and there:
        return True
    remedy = "choose another --out, or give --resume or --overwrite"
    if there and not overwrite:
        raise OutputError(f"{folder} exists; {remedy}")
    check_output(folder, "run", overwrite=overwrite, sources=sources, remedy=remedy)
    return False


def decide(folder: Path, world: World, *, resume: Resume, overwrite: bool, sources: Sequence[str | Path] = ()) -> bool:
    """What `check_free` says in the first process, for all; to go on, each needs the folder as the first one has it."""
    going_on = False
    with world.together():
        if world.first:
            going_on = check_free(folder, resume=resume, overwrite=overwrite, sources=sources)
    going_on = world.gather(going_on)[0]
    if going_on:
        there = "one" if (folder / CONFIG).is_file() else "none"
        world.agree({"run": there}, f"put {folder} on every machine, or on a disk that all share")
    return going_on


def start_folder(folder: Path, recipe: Recipe, data: RunData, overwrite: bool) -> None:
    """Makes the folder of a new run on `data` and writes the resolved config into it; it must be locked."""
    if overwrite:
        clear(folder)
    write_json(folder / ENVIRONMENT, environment())
    held = {"labels": list(data.classes), "train_images": len(data.train), "data": data.contents}
    write_json(folder / LABELS, held)
    text = yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True)
    with atomic_file(folder / CONFIG) as temporary:  # last, so that a folder with a config is a run
        temporary.write_text(text, encoding="utf-8")


def clear(folder: Path, last: str = CONFIG) -> None:
    """Deletes what is in the folder of a run but for its lock; its mark `last`, so that a kill leaves it a run."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == last):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def stored_config(folder: Path) -> dict[str, Any]:
    """config.yaml of a run; raises `ConfigError` when it cannot be read."""
    with readable(folder / CONFIG, "put it back as it was, or choose another --out"):
        values = yaml.safe_load(check_yaml((folder / CONFIG).read_text(encoding="utf-8")))
        if not isinstance(values, dict) or not {"steps", "precision", "eval_every", "save_every"} <= values.keys():
            raise ValueError("not the settings of a run")
    return values


def stored_data(folder: Path) -> tuple[tuple[str, ...], int, dict[str, str]]:
    """Classes, number of training images and contents of the splits of a run; `ConfigError` if they cannot be read."""
    remedy = "start again with --overwrite"
    values = read_json(folder / LABELS, remedy)
    if "labels" in values and "data" not in values:
        raise ConfigError(f"{folder} is of an older version, which drew other orders; finish it with that, or {remedy}")
    with readable(folder / LABELS, remedy):
        classes, images, data = tuple(map(str, values["labels"])), int(values["train_images"]), dict(values["data"])
    return classes, images, data


def check_same(folder: Path, recipe: Recipe, data: RunData) -> dict[str, Any]:
    """The stored config of a run to resume, after refusing settings, classes or images that differ."""
    changed = changes(folder, recipe, data)
    if changed:
        raise ConfigError(
            f"{folder} was started with other settings ({'; '.join(changed)}); "
            f"repeat those (--config {folder / CONFIG}), or choose another --out"
        )
    images = stored_data(folder)[1]
    if images != len(data.train):  # of the same files: some are left out, or are so no longer
        log.warning("%d training images can be read, %d at the start: their order is another", len(data.train), images)
    return stored_config(folder)


def changes(folder: Path, recipe: Recipe, data: RunData) -> list[str]:
    """In what `recipe` and its data contradict the run in `folder`; one text each."""
    changed = differences(stored_config(folder), recipe)
    classes, images, told = stored_data(folder)
    if classes != data.classes:
        changed.append(f"classes: {len(data.classes)} ({some(data.classes)}), was {len(classes)} ({some(classes)})")
    other = [name for name in {**told, **data.contents} if told.get(name) != data.contents.get(name)]
    if other and images != len(data.train):
        changed.append(f"training images: {len(data.train)}, was {images}")
    elif other and classes == data.classes:
        changed.append(f"data: other files, names or sizes in {' and '.join(other)}")
    return changed
