"""What lies beside a run's model: the names of files, JSON, and what the run ran on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from vitascope import json_text
from vitascope.checkpoints.output import atomic_file
from vitascope.errors import ConfigError
from vitascope.precision import processor
from vitascope.version import __version__, source_commit
from vitascope.wording import reason

ENVIRONMENT, RESULTS, MODEL = "environment.json", "results.json", "model"
REPORT, ANSWERS = "report.html", "answers.csv"
"""For people: the page, and what was said of each image that was judged."""
EXAMPLES = "examples.json"
"""A few of those images, small, for the page of `serve`."""


def environment(command: Sequence[str] | None = None) -> dict[str, Any]:
    """What a run ran on, for those who want to repeat it; `command`: its words, none: this process's."""
    return {
        "vitascope": __version__,
        **source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "command": ["vitascope", *(sys.argv[1:] if command is None else command)],
    }


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes `values` atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(
            json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
        )


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a file; `ConfigError` with the remedy when it cannot be read or holds something else."""
    with readable(path, remedy):
        values = json_text.parse(path.read_bytes())
        if not isinstance(values, dict):
            raise ValueError("not what was written there")
    return values


@contextmanager
def readable(path: Path, remedy: str) -> Iterator[None]:
    """`ConfigError` with the remedy where the block finds that the file is not what was written there."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read ({reason(error)}); {remedy}") from error
