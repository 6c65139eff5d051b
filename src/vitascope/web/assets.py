"""The page's files, read once into memory: a path that is not among them does not exist."""

from __future__ import annotations

import hashlib
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import PurePath

from starlette.responses import Response

PAGE = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: what comes from this server, and pictures in data: URLs; nothing inside a page runs."""

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Name ending → media type; files with other endings are not served."""


def page_files() -> Traversable:
    """The folder of the page."""
    return files("vitascope.web") / "static"


def read_assets(folder: Traversable) -> dict[str, Response]:
    """The answers that are a folder's files, by name; their ETag changes with the content."""
    found = {}
    for entry in folder.iterdir():
        kind = _TYPES.get(PurePath(entry.name).suffix)
        if kind and not entry.name.startswith("."):
            content = entry.read_bytes()
            headers = {"etag": f'"{hashlib.sha256(content).hexdigest()[:16]}"', "cache-control": "no-cache"}
            found[entry.name] = Response(content, headers=headers, media_type=kind)
    return found
