"""The page as one file with everything in it, models and images too, which a double click opens without a server.

A page from a file may load nothing, not even modules beside it. So the modules become data: addresses behind an
import map, style and icon move inside, and the data stand in the page as JSON, each layer apart so that a browser
reads only what is looked at. The page's own policy forbids every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path
from typing import Any

from vitascope.errors import ConfigError
from vitascope.whole import written_whole

_PREFIX = "vitascope/"
_IMPORT = re.compile(r'(\bfrom\s*|\bimport\s*)"\./([\w-]+\.js)"')

_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Of JSON that must end no script element and be one line to every reader."""


def write_page(path: Path, models: Sequence[Mapping[str, Any]], compared: Mapping[str, Any] | None = None) -> None:
    """Writes the page at `path`, wholly or not at all.

    Each model is {"model": …, "looks": [{…, "layers": {number from 0: …}}]} in the form of `web/payload.py`. Several
    models stand side by side and must have looked at the same images in the same order; `compared` stands above them,
    {"tables": [{"title", "columns", "rows"}], "notes": […]} of texts. Raises `ConfigError` for models that did not,
    `OSError` where the file cannot be written.
    """
    names = [[look["name"] for look in model["looks"]] for model in models]
    if not names or not names[0] or any(other != names[0] for other in names):
        raise ConfigError(f"the models looked at {names}, expected one or more images and the same for every model")
    static = files("vitascope.web") / "static"
    sources = _reached("main.js", static)
    modules = json.dumps({"imports": {f"{_PREFIX}{name}": _module(text) for name, text in sorted(sources.items())}})
    start = f'import "{_PREFIX}main.js";'
    style = (static / "style.css").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src data: {_hash(modules)} {_hash(start)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = " and ".join(str(model["model"]["name"]) for model in models)
    inside = {
        'name="referrer" content="no-referrer"': f'http-equiv="Content-Security-Policy" content="{policy}"',
        "<title>Vitascope</title>": f"<title>{escape(title)} · Vitascope</title>",
        "static/icon.svg": f"data:image/svg+xml;base64,{base64.b64encode((static / 'icon.svg').read_bytes()).decode()}",
        '<link rel="stylesheet" href="static/style.css">': f"<style>{style}</style>",
        '<script type="module" src="static/main.js"></script>': f'<script type="importmap">{modules}</script>',
        "</body>": "\n".join([*_data(models, compared), f'<script type="module">{start}</script>', "</body>"]),
    }
    outside = (static / "index.html").read_text("utf-8")
    assert all(outside.count(part) == 1 for part in inside)
    page = re.sub("|".join(map(re.escape, inside)), lambda match: inside[match[0]], outside)
    with written_whole(path) as temporary:
        # A name that is no UTF-8: what replaces its odd bytes is what JSON writes for them.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _data(models: Sequence[Mapping[str, Any]], compared: Mapping[str, Any] | None) -> list[str]:
    """A JSON element for each model, look and layer, and for how they compare."""
    data: dict[str, Any] = {} if compared is None else {"compared": compared}
    for m, model in enumerate(models):
        data[f"model-{m}"] = model["model"]
        for i, look in enumerate(model["looks"]):
            data[f"look-{m}-{i}"] = {key: value for key, value in look.items() if key != "layers"}
            data |= {f"layer-{m}-{i}-{number}": layer for number, layer in look["layers"].items()}
    elements = []
    for id, value in data.items():
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        safe = text.translate(_ESCAPES)
        elements.append(f'<script type="application/json" id="data-{id}">{safe}</script>')
    return elements


def _reached(first: str, static: Traversable) -> dict[str, str]:
    """A module and all that it imports, by name: not those of the page for teaching, which needs a server."""
    found, wanted = dict[str, str](), [first]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = (static / name).read_text("utf-8")
            wanted += [match[2] for match in _IMPORT.finditer(found[name])]
    return found


def _module(text: str) -> str:
    """A module as data: address; its neighbours are asked for by bare name, since a data: address has no folder."""
    renamed = _IMPORT.sub(lambda found: f'{found[1]}"{_PREFIX}{found[2]}"', text)
    return f"data:text/javascript;base64,{base64.b64encode(renamed.encode()).decode()}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
