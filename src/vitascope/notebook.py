"""How things show themselves in a notebook: the one place where HTML is made of them, in which every text is escaped.

A notebook asks an object for `_repr_html_` (or `_repr_png_`), so nothing of it is needed here.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from vitascope.wording import printable

_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0;white-space:pre-line"
_BAR = "display:inline-block;height:0.6em;margin-right:0.6em;background:#0072b2;width:"


def titled(title: str, *parts: str) -> str:
    """What this module makes, below a title."""
    return f"<div><p><strong>{escape(printable(title))}</strong></p>{''.join(parts)}</div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Cells are texts, or shares in [0, 1], which get a bar; without names there is no row of columns."""

    def line(cells: Sequence[str | float], tag: str) -> str:
        inside = "".join(f'<{tag} style="{_CELL}">{_content(cell)}</{tag}>' for cell in cells)
        return f"<tr>{inside}</tr>"

    head = f"<thead>{line(columns, 'th')}</thead>" if any(columns) else ""
    return f"<table>{head}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def pictures(captioned: Iterable[tuple[Any, str]], side: int = 96) -> str:
    """Images uint8 (H, W, 3) side by side, each above its caption, made smaller where they are larger than `side`."""
    from PIL import Image

    drawn = []
    for pixels, said in captioned:
        image, file = Image.fromarray(pixels), io.BytesIO()
        image.thumbnail((2 * side, 2 * side))
        image.save(file, "PNG")
        shown = escape(printable(said))
        style = f"width:{side}px;height:{side}px;object-fit:contain"
        picture = f'<img src="{data_url(file.getvalue())}" alt="{shown}" style="{style}">'
        drawn.append(f'<figure style="margin:4px;width:{side}px">{picture}<figcaption>{shown}</figcaption></figure>')
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(drawn)}</div>'


def data_url(image: bytes, kind: str = "png") -> str:
    """An image file, PNG or of another `kind`, as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _content(cell: str | float) -> str:
    if isinstance(cell, str):
        return escape("\n".join(printable(line) for line in cell.split("\n")))
    return f'<span style="{_BAR}{6 * cell:.2f}em"></span>{100 * cell:.1f} %'
