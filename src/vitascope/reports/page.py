"""A report as one HTML file with everything in it, for any screen, light or dark; its parts are made here too."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vitascope.checkpoints.output import atomic_file
from vitascope.notebook import data_url
from vitascope.views.drawing import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Section = tuple[str, str]
"""Title, and HTML of the parts below; left out where that is empty."""


def write_page(
    path: Path, *, kicker: str, headline: str, lead: str, sections: Sequence[Section], footer: Sequence[str]
) -> None:
    """Writes a page of texts and of `sections`; it names no other file and no host."""
    template = Template(files("vitascope.reports").joinpath("page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=escape(f"{kicker}: {headline}"),
        kicker=escape(kicker),
        headline=escape(headline),
        lead=escape(lead),
        sections="\n".join(f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" for title, body in sections),
        footer="\n".join(f"<p>{escape(line)}</p>" for line in footer),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files may be no UTF-8


def text(words: str, soft: bool = False) -> str:
    """A paragraph."""
    kind = ' class="soft"' if soft else ""
    return f"<p{kind}>{escape(words)}</p>"


def link(words: str, target: str) -> str:
    """A paragraph that leads to a file beside the page."""
    return f'<p><a href="{escape(target)}">{escape(words)}</a></p>'


def facts(said: Iterable[tuple[str, str]]) -> str:
    """Large figures side by side, each above what it is."""
    cards = (f"<div><strong>{escape(figure)}</strong><span>{escape(what)}</span></div>" for figure, what in said)
    return f'<div class="facts">{"".join(cards)}</div>'


@dataclass(frozen=True)
class Share:
    """A cell of a table that is a share in [0, 1]: a number and a bar."""

    value: float

    def __str__(self) -> str:
        return percent(self.value).replace(" ", "\N{NO-BREAK SPACE}")


def percent(share: float) -> str:
    """0.8366 → "83.7 %", everywhere on a page."""
    return f"{100 * share:.1f} %"


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Share]], *, words: Sequence[int] = (0,)) -> str:
    """All columns but those of `words` are numbers."""

    def cell(tag: str, place: int, content: str | Share) -> str:
        kind = "" if place in words else ' class="number"'
        bar = ""
        if isinstance(content, Share):
            bar = f'<i class="bar" style="--share:{100 * content.value:.1f}%"></i>'
        return f"<{tag}{kind}>{escape(str(content))}{bar}</{tag}>"

    def row(cells: Sequence[str | Share], tag: str) -> str:
        return f"<tr>{''.join(cell(tag, place, content) for place, content in enumerate(cells))}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table><thead>{row(columns, "th")}</thead><tbody>{body}</tbody></table></div>'


def pictures(captioned: Iterable[tuple[np.ndarray | Sequence[np.ndarray], str]]) -> str:
    """Images uint8 (H, W[, 3]) side by side, each above its caption; several of one caption stand together."""
    return f'<div class="pictures">{"".join(_figure(images, said) for images, said in captioned)}</div>'


_SMALL = 64
"""Up to this side in pixels an image is shown dot by dot."""


def _figure(images: np.ndarray | Sequence[np.ndarray], said: str) -> str:
    several = [images] if isinstance(images, np.ndarray) else list(images)
    kind = {1: "", 2: ' class="pair"'}[len(several)]
    if max(several[0].shape[:2]) > _SMALL:
        kind = kind.replace('"pair"', '"pair photo"') or ' class="photo"'
    caption = f"<figcaption>{escape(said)}</figcaption>" if said else ""
    shown = "".join(_image(image, said if n == 0 else f"where it looked: {said}") for n, image in enumerate(several))
    return f"<figure{kind}><div>{shown}</div>{caption}</figure>"


def _image(image: np.ndarray, said: str) -> str:
    buffer, small = io.BytesIO(), max(image.shape[:2]) <= _SMALL
    if small:
        Image.fromarray(image).save(buffer, "PNG", optimize=True)
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=82)
    return f'<img src="{data_url(buffer.getvalue(), "png" if small else "jpeg")}" alt="{escape(said)}">'


def drawing(figure: Figure, said: str) -> str:
    """A figure, and what it shows for who cannot see it."""
    return f'<div class="drawing">{inline(figure, said)}</div>'


def commands(explained: Iterable[tuple[str, str]]) -> str:
    """Command lines, each below what it is for."""
    return f"<pre>{escape(chr(10).join(f'# {why}{chr(10)}{command}' for why, command in explained))}</pre>"
