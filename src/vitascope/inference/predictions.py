"""What a predictor says of images: a list like any other, which a notebook shows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitascope import notebook
from vitascope.checkpoints.checkpoint import Prediction
from vitascope.wording import count

_ROWS = 50


class Predictions(list[list[Prediction]]):
    """Per image the likeliest labels: (label, class index, probability), best first."""

    def __init__(self, found: Sequence[list[Prediction]], images: Sequence[object] = ()) -> None:
        super().__init__(found)
        self._names = [Path(image).name if isinstance(image, str | Path) else "" for image in images]

    def _repr_html_(self) -> str:
        rows = []
        for place, best in enumerate(self[:_ROWS]):
            name = self._names[place] if place < len(self._names) else ""
            for rank, (label, _, probability) in enumerate(best):
                rows.append(("" if rank else name or f"{place + 1}", label, probability))
        more = f", the first {_ROWS}" if len(self) > _ROWS else ""
        return notebook.titled(
            f"{count(len(self), 'image')}{more}", notebook.table(("image", "label", "probability"), rows)
        )
