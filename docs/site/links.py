"""Whether every link of a built site leads somewhere, anchors too, and nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Read(HTMLParser):
    """What an HTML page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given and tag != "meta"}
        loaded = [given.get("src")] + ([given.get("href")] if tag == "link" and given.get("rel") != "canonical" else [])
        self.loads += [value for value in loaded if value]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def faults(site: Path) -> Iterator[str]:
    """A line for each link that leads nowhere, and for each thing that a page would fetch from elsewhere."""
    read = {path: _Read(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in read.items():
        here = path.relative_to(site)
        yield from (f"{here} loads {url}" for url in page.loads if urlsplit(url).netloc)
        for url in [*page.links, *page.loads]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{here} links to {url}, where nothing is"
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors | {"top"}:
                yield f"{here} links to {url}, and {target.name} has no such anchor"
