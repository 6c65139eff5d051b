"""Teaching in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import vitascope as vs
from vitascope.recipes.asked import Teach
from vitascope.recipes.teach import teach_run
from vitascope.teaching.lesson import Lesson


def taught(start: str | Path, data: Path | None, out: Path, **options: Any) -> Lesson:
    where = None if data is None else str(data)
    return teach_run(Teach(checkpoint=str(start), data=where, out=str(out), device="cpu", **options))


def head(run: Path) -> tuple[tuple[str, ...], torch.Tensor]:
    """Labels and the linear layer, weights and bias, of a run."""
    ck = vs.load(run)
    linear = ck.model.head.linear
    assert linear is not None
    return ck.labels, torch.cat([linear.weight, linear.bias[:, None]], dim=1).double()
