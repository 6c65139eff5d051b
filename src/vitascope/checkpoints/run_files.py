"""What lies beside a run's model: the names of files, JSON, and what the run ran on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vitascope.checkpoints.output import atomic_file
from vitascope.precision import processor
from vitascope.version import __version__, source_commit

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
