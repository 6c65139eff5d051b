"""The folder of a run: config.yaml, labels.json, environment.json, metrics.jsonl, checkpoints/, model/, results."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from vitascope.checkpoints.atomic import atomic_file
from vitascope.checkpoints.output import KINDS, check_output, check_writable, refuse_strangers
from vitascope.data.source import some
from vitascope.errors import ConfigError
from vitascope.precision import processor
from vitascope.recipes.settings import Recipe, differences, to_dict
from vitascope.version import __version__, source_commit

CONFIG, LABELS, ENVIRONMENT, RESULTS, MODEL = "config.yaml", "labels.json", "environment.json", "results.json", "model"
SWEEP = "sweep"


def check_free(folder: Path, *, resume: bool, overwrite: bool, sources: Sequence[str | Path] = ()) -> None:
    """Refuses a folder whose contents would be lost: `ConfigError` unless it is new, resumed or to be overwritten.

    What is overwritten must be a run, hold nothing else, and have nothing to do with `sources`.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other: give one")
    check_writable(folder)
    if resume:
        if not (folder / CONFIG).is_file():
            raise ConfigError(f"{folder} holds no run to resume (no {CONFIG}); leave out --resume to start one")
    elif overwrite and folder.exists() and _holds_no_run(folder):
        refuse_strangers(folder, *KINDS["run"])
    elif not folder.exists() or not _holds_no_run(folder):
        remedy = "choose another --out, or give --resume or --overwrite"
        check_output(folder, "run", overwrite=overwrite, sources=sources, remedy=remedy)


def _holds_no_run(folder: Path) -> bool:
    # Nothing, the trials of a sweep, or what a start left that was killed before it wrote the config.
    ours = {LABELS, ENVIRONMENT, SWEEP}
    return folder.is_dir() and all(p.name in ours or (p.name[0], p.suffix) == (".", ".tmp") for p in folder.iterdir())


def start_folder(folder: Path, recipe: Recipe, classes: tuple[str, ...], images: int, overwrite: bool) -> None:
    """Makes the folder of a new run on `images` training images and writes the resolved config into it."""
    if overwrite and folder.exists():
        refuse_busy(folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ENVIRONMENT, environment())
    write_json(folder / LABELS, {"labels": list(classes), "train_images": images})
    text = yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True)
    with atomic_file(folder / CONFIG) as temporary:  # last, so that a folder with a config is a run
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second process from training in the same folder; `ConfigError` when another does. Freed by any exit."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / CONFIG).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another process is training in {folder}; wait for it, or choose another --out"
            ) from error
        yield


def refuse_busy(folder: Path) -> None:
    """`ConfigError` when a process is training in `folder`, or on a trial of its sweep: it must not be deleted then."""
    for config in (folder / CONFIG, *folder.glob(f"{SWEEP}/*/{CONFIG}")):
        if config.is_file():
            with locked(config.parent):
                pass


def stored_config(folder: Path) -> dict[str, Any]:
    """config.yaml of a run; raises `ConfigError` when it cannot be read."""
    try:
        values = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(values, dict) or not {"steps", "precision", "eval_every", "save_every"} <= values.keys():
            raise ValueError("not the settings of a run")
        return values
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{folder / CONFIG} cannot be read ({error}); start again with --overwrite") from error


def stored_data(folder: Path) -> tuple[tuple[str, ...], int]:
    """Classes and number of training images of a run; raises `ConfigError` when they cannot be read."""
    try:
        values = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        return tuple(values["labels"]), int(values["train_images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / LABELS} cannot be read ({error}); start again with --overwrite") from error


def check_same(folder: Path, recipe: Recipe, classes: tuple[str, ...], images: int) -> dict[str, Any]:
    """The stored config of a run to resume, after refusing settings, classes or a number of images that differ."""
    changed = changes(folder, recipe, classes, images)
    if changed:
        raise ConfigError(
            f"{folder} was started with other settings ({'; '.join(changed)}); "
            f"repeat those (--config {folder / CONFIG}), or choose another --out"
        )
    return stored_config(folder)


def changes(folder: Path, recipe: Recipe, classes: tuple[str, ...], images: int) -> list[str]:
    """In what `recipe`, its classes and number of training images contradict the run in `folder`; one text each."""
    changed = differences(stored_config(folder), recipe)
    before, images_before = stored_data(folder)
    if before != classes:
        changed.append(f"classes: {len(classes)} ({some(classes)}), was {len(before)} ({some(before)})")
    if images_before != images:
        changed.append(f"training images: {images}, was {images_before}")
    return changed


def environment() -> dict[str, Any]:
    """What a run ran on, for those who want to repeat it."""
    return {
        "vitascope": __version__,
        **source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "command": ["vitascope", *sys.argv[1:]],
    }


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes `values` atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(
            json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
        )
