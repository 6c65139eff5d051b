"""A page with everything in it: modules, styles, icon and data, under a policy that lets it ask for nothing else.

A page from a file may load nothing, not even modules beside it. So the modules become data: addresses behind an
import map, styles and icon move inside, and the data stand in the page as JSON. The policy names what may run by its
hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.abc import Traversable
from importlib.resources import files
from typing import Any

_PREFIX = "vitascope/"
_IMPORT = re.compile(r'(\bfrom\s*|\bimport\s*)"\./([\w-]+\.js)"')
_STYLE = re.compile(r'<link rel="stylesheet" href="static/([\w-]+\.css)">\n?')
_MAIN = re.compile(r'<script type="module" src="static/([\w-]+\.js)"></script>')
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Of JSON that must end no script element and be one line to every reader."""


def one_page(
    template: str,
    title: str,
    data: Mapping[str, Any],
    *,
    elements: Iterable[str] = (),
    scripts: Sequence[str] = (),
    policy: str = "",
) -> str:
    """The page that `template` of static/ describes, with `data` as JSON elements "data-NAME".

    `elements` are HTML of the caller's own, `scripts` what may run besides, in the words of a Content-Security-Policy,
    to which `policy` adds other directives.
    """
    static = files("vitascope.web") / "static"
    outside = (static / template).read_text("utf-8")
    (main,) = _MAIN.findall(outside)
    style = "".join((static / name).read_text("utf-8") for name in _STYLE.findall(outside))
    sources = _reached(main, static)
    modules = json.dumps({"imports": {f"{_PREFIX}{name}": module(text) for name, text in sorted(sources.items())}})
    start = f'import "{_PREFIX}{main}";'
    allowed = " ".join(["data:", _hash(modules), _hash(start), *scripts])
    rules = (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        f"form-action 'none'{policy and f'; {policy}'}"
    )
    icon = base64.b64encode((static / "icon.svg").read_bytes()).decode()
    inside = {
        'name="referrer" content="no-referrer"': f'http-equiv="Content-Security-Policy" content="{rules}"',
        re.findall(r"<title>.*</title>", outside)[0]: f"<title>{escape(title)} · Vitascope</title>",
        "static/icon.svg": f"data:image/svg+xml;base64,{icon}",
        "</head>": f"<style>{style}</style>\n</head>",
        f'<script type="module" src="static/{main}"></script>': f'<script type="importmap">{modules}</script>',
        "</body>": "\n".join(
            [*map(_element, data, data.values()), *elements, f'<script type="module">{start}</script>', "</body>"]
        ),
    }
    bare = _STYLE.sub("", outside)
    assert all(bare.count(part) == 1 for part in inside)
    return re.sub("|".join(map(re.escape, inside)), lambda match: inside[match[0]], bare)


def module(text: str) -> str:
    """A module as data: address, which has no folder: its neighbours are asked for by bare name."""
    renamed = _IMPORT.sub(rf'\1"{_PREFIX}\2"', text)
    return f"data:text/javascript;base64,{base64.b64encode(renamed.encode()).decode()}"


def _element(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f'<script type="application/json" id="data-{name}">{text.translate(_ESCAPES)}</script>'


def _reached(first: str, static: Traversable) -> dict[str, str]:
    """A module and all that it imports, by name."""
    found, wanted = dict[str, str](), [first]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = (static / name).read_text("utf-8")
            wanted += [match[2] for match in _IMPORT.finditer(found[name])]
    return found


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
