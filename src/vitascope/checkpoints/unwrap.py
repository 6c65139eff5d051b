"""The model's tensors among all that a training script stored, whatever it called the wrapping.

Dictionaries in dictionaries and the prefixes of wrappers (`module.`, `_orig_mod.`, `model.`, `backbone.`, …) are one
thing: text before the names that a format knows. Each format has an anchor, a name that all its files hold; what stands
before it is a wrapping, and what begins with the wrapping is the model.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from vitascope.errors import CheckpointError
from vitascope.wording import some

log = logging.getLogger(__name__)

_AVERAGED = re.compile(r"(?<![a-z])(ema|teacher|averaged?|swa)(?![a-z])", re.IGNORECASE)
"""Names of moving averages; where they are beside the plain weights, they are the result of the training."""
_LONGEST_NAME = 512


def anchor(names: str) -> re.Pattern[str]:
    """A pattern for these names (a regular expression) with any wrapping before them, the shortest possible."""
    return re.compile(rf"(?P<wrapping>(?:.*?[./])??)(?:{names})", re.DOTALL)


def unwrap(
    tensors: Mapping[str, Tensor], anchors: Sequence[re.Pattern[str]], path: Path
) -> tuple[int, dict[str, Tensor]]:
    """The number of the anchor that is there and the model's tensors without its wrapping; −1 and all if none is.

    Of several models the moving average is taken. What is left out is logged. Raises `CheckpointError` where
    several remain.
    """
    places: dict[str, int] = {}  # wrapping → number of its anchor
    for name in tensors:
        for number, pattern in enumerate(anchors if len(name) <= _LONGEST_NAME else ()):
            if match := pattern.fullmatch(name):
                places.setdefault(match["wrapping"], number)
    if not places:
        return -1, dict(tensors)
    taken, *others = sorted(places, key=lambda wrapping: (not _AVERAGED.search(wrapping), len(wrapping), wrapping))
    if others and (not _AVERAGED.search(taken) or _AVERAGED.search(others[0])):
        models = some(list(map(_shown, places)), 3)
        raise CheckpointError(f"{path}: holds {len(places)} models ({models}); save the tensors of one alone")
    own = {name.removeprefix(taken): tensor for name, tensor in tensors.items() if name.startswith(taken)}
    rest = [name for name in tensors if not name.startswith((taken, *others))]
    left = [*map(_shown, others), *([f"{len(rest)} other tensors ({some(rest, 3)})"] if rest else [])]
    if left:
        log.info(
            "%s: taken: %s%s; left out: %s", path, "the average, " if others else "", _shown(taken), ", ".join(left)
        )
    return places[taken], own


def _shown(wrapping: str) -> str:
    return repr(wrapping[:60]) if wrapping else "what has no prefix"
