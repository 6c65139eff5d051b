"""The pages of the site: the repository's own Markdown where it lies, README's sections, and what is generated.

A page keeps the place of its file (`docs/train.md`), so that its links hold; what else they lead to comes along: files
of code as pages, README's sections as the pages they became, pictures and tables as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[2]
SOURCE = "src/vitascope"
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)\s]+)\)")
SPAN = re.compile(r"(?<![\[`])`([\w.-]+(?:/[\w.-]+)*/?)`(?![\]`])")
ELSEWHERE = ("http://", "https://", "mailto:")


class BrokenLink(Exception):
    """A link of a page leads nowhere."""


@dataclass(frozen=True)
class Page:
    """Markdown at a place of the site; its links are relative to that place."""

    path: str
    text: str


def sections(text: str) -> dict[str, str]:
    """Title → text of each section of a page, its headings one step higher."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        title: re.sub(r"^#(#+ )", r"\1", f"## {title}{body}", flags=re.MULTILINE)
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def anchor(title: str) -> str:
    """What a heading is called in an address, as GitHub has it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def lines_outside(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of a page, each with whether it is prose, not code."""
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
            yield line, False
        else:
            yield line, not fence


class Site:
    """Pages by their places, and files that they show; `add` follows a page's links."""

    def __init__(self, parts: dict[str, str]) -> None:
        """`parts`: title of a section of README → the place of its page."""
        self.pages: dict[str, str] = {}
        self.files: set[str] = set()
        self.parts = {anchor(title): place for title, place in parts.items()}

    def add(self, *pages: Page) -> None:
        """Several pages at once may link to one another."""
        self.pages |= {page.path: page.text for page in pages}
        for page in pages:
            self.pages[page.path] = self._linked(page)

    def _linked(self, page: Page) -> str:
        lines = []
        before = ""
        for line, prose in lines_outside(page.text):
            if prose:
                line = LINK.sub(lambda match: f"{match[1]}{self._target(page, match[2])})", line)
                line = line if line.startswith("#") else self._spans(page, line)
                # GitHub begins a list right below a paragraph, Python-Markdown after an empty line.
                if re.match(r"[-*] |\d+\. ", line) and before.strip() and not re.match(r"[-*] |\d+\. | ", before):
                    lines.append("")
            lines.append(line)
            before = line
        return "\n".join(lines)

    def _spans(self, page: Page, line: str) -> str:
        """Names of files and folders, `layers/patches.py`, become links to what they name."""
        folder = ""

        def link(match: re.Match[str]) -> str:
            nonlocal folder
            name = match[1].rstrip("/")
            if "/" not in match[1] and not (folder and name.endswith(".py")):
                return match[0]
            for place in (f"{folder}/{name}", f"{SOURCE}/{name}", name):
                found = place if (ROOT / place).is_file() else f"{place}/README.md"
                if (ROOT / found).is_file() and place.startswith(("src/", "docs/", "results/", "benchmarks/")):
                    folder = str(PurePosixPath(found).parent)
                    return f"[{match[0]}]({self._target(page, relpath(found, PurePosixPath(page.path).parent))})"
            return match[0]

        return SPAN.sub(link, line)

    def _target(self, page: Page, target: str) -> str:
        """Where a link leads in the site; `BrokenLink` where nothing is."""
        path, _, part = target.partition("#")
        if target.startswith(ELSEWHERE) or not path:
            return target
        here = PurePosixPath(page.path).parent
        place = normpath(f"{here}/{path}")
        if place == "README.md":
            if part and part not in self.parts:
                raise BrokenLink(f"{page.path} links to {target}, and README has no such section in the site")
            return relpath(self.parts[part] if part else "index.md", here)
        found = self._found(place)
        if found is None:
            raise BrokenLink(f"{page.path} links to {target}, where nothing is")
        return relpath(found, here) + (f"#{part}" if part else "")

    def _found(self, place: str) -> str | None:
        """The page or file of a place of the repository, brought along where it is not there yet."""
        if place in self.pages:
            return place
        file = ROOT / place
        if file.is_dir():
            page = f"{place}/README.md"
            if page not in self.pages and not (file / "README.md").is_file():
                names = sorted(inner.name for inner in file.iterdir() if not inner.name.startswith("_"))
                self.add(Page(page, "\n".join([f"# {place}", "", *(f"- [{name}]({name})" for name in names)])))
            return self._found(page)
        if not file.is_file():
            return None
        if file.suffix == ".md":
            self.add(Page(place, file.read_text(encoding="utf-8")))
            return place
        if file.suffix == ".py":
            page = f"{place.removesuffix('.py')}_py.md"
            if page not in self.pages:
                self.pages[page] = code(place)
            return page
        self.files.add(place)
        return place


def code(place: str) -> str:
    """A page of a file of code."""
    text = (ROOT / place).read_text(encoding="utf-8").rstrip()
    name = place.removeprefix(f"{SOURCE}/")
    head = f"---\ntitle: {name}\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n"
    return f'{head}~~~~~~ {{ .python linenums="1" }}\n{text}\n~~~~~~\n'


def notebook(place: str) -> Page:
    """A page of a notebook that has no outputs: its words and its code."""
    cells = json.loads((ROOT / place).read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for text, kind in texts]
    name = place.rpartition("/")[2]
    return Page(
        f"{place.removesuffix('.ipynb')}.md", "\n\n".join([parts[0], f"To run it: [{name}]({name}).", *parts[1:]])
    )
