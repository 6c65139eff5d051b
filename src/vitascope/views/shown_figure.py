"""A figure that shows itself in a notebook, as pyplot's do; loaded with matplotlib, when the first is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """matplotlib's, with what a notebook asks of an object that is the last in its cell."""

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as file:
            self.savefig(file, format="png")
            return file.getvalue()
