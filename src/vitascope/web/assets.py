"""The page's files, read once into memory: a path that is not among them does not exist."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.abc import Traversable
from importlib.resources import files

PAGE = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
"""Name ending → media type; files with other endings are not served."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file of the page."""

    content: bytes
    """Its bytes."""
    type: str
    """Its media type."""
    etag: str
    """Changes with the content, so that browsers fetch it again only then."""


class Assets:
    """The files of a folder by their path in it; `policy` is the Content-Security-Policy of its page."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._assets = dict(_read(folder if folder is not None else files("vitascope.web") / "static"))
        page = self._assets.get(PAGE)
        self.policy = content_security_policy(page.content.decode() if page else "")

    def get(self, path: str) -> Asset | None:
        """The file of exactly that path, or None."""
        return self._assets.get(path)


def content_security_policy(page: str) -> str:
    """Only what comes from this server, pictures in data: URLs, and the scripts and styles inside `page` by hash."""
    inline = _Inline()
    inline.feed(page)
    inline.close()
    rules = {
        "default-src": ["'none'"],
        "script-src": ["'self'", *map(_hash, inline.found["script"])],
        "style-src": ["'self'", *map(_hash, inline.found["style"])],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(" ".join([name, *sources]) for name, sources in rules.items())


class _Inline(HTMLParser):
    """Collects the text of scripts without src and of style elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.found and "src" not in dict(attrs):
            self._inside = tag
            self.found[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[self._inside][-1] += data


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.replace("\r\n", "\n").encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, Asset]]:
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        ending = entry.name[entry.name.rfind(".") :].lower()
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif ending in _TYPES and not entry.name.startswith("."):
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found.append((f"{prefix}{entry.name}", Asset(content=content, type=_TYPES[ending], etag=etag)))
    return found
