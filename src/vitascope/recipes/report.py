"""A report as one HTML file with everything in it, for any screen, light or dark; its parts are made here too."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vitascope.checkpoints.output import atomic_file
from vitascope.views.drawing import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(
    path: Path, *, kicker: str, headline: str, lead: str, sections: Sequence[tuple[str, str]], footer: Sequence[str]
) -> None:
    """Writes a page of texts and of `sections` (title, HTML of the parts below); it names no other file and no host."""
    template = Template(files("vitascope.recipes").joinpath("report.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=escape(f"{kicker}: {headline}"),
        kicker=escape(kicker),
        headline=escape(headline),
        lead=escape(lead),
        sections="\n".join(f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" for title, body in sections),
        footer="\n".join(f"<p>{escape(line)}</p>" for line in footer),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def text(words: str, soft: bool = False) -> str:
    """A paragraph."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{escape(words)}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All but the first column are numbers."""

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ["", *[' class="number"'] * (len(cells) - 1)]
        inside = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inside)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table><thead>{row(columns, "th")}</thead><tbody>{body}</tbody></table></div>'


def pictures(captioned: Iterable[tuple[np.ndarray, str]]) -> str:
    """Small images uint8 (H, W[, 3]) side by side, each above its caption."""
    return f'<div class="pictures">{"".join(_figure(image, said) for image, said in captioned)}</div>'


def _figure(image: np.ndarray, said: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    caption = f"<figcaption>{escape(said)}</figcaption>" if said else ""
    return f'<figure><img src="{_data(buffer)}" alt="{escape(said)}">{caption}</figure>'


def drawing(figure: Figure, said: str) -> str:
    """A figure, and what it shows for who cannot see it."""
    return f'<div class="drawing">{inline(figure, said)}</div>'


def commands(explained: Iterable[tuple[str, str]]) -> str:
    """Command lines, each below what it is for."""
    return f"<pre>{escape(chr(10).join(f'# {why}{chr(10)}{command}' for why, command in explained))}</pre>"


def _data(png: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
