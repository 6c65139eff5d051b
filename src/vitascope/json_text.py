"""JSON that anybody may have written: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes, **options: Any) -> Any:
    """`json.loads`; raises ValueError for anything else, values nested beyond what Python reads included."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None
