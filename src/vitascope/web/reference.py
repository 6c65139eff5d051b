"""The schema as a page that people read: everything in the HTML itself, no script, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: what programs can ask</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/style.css">
<link rel="stylesheet" href="static/reference.css">
</head>
<body>
<main id="page" class="reference">
<h1>{title}</h1>
<p class="lead">{about}</p>
<p class="note">The same for machines: <a href="openapi.json">openapi.json</a>.
<a href="metrics">metrics</a> are for Prometheus. <a href="./">The page</a> is for people.</p>
"""


_ENDLESS = 2**31
"""A limit of whole numbers that tells people nothing."""


def reference(schema: Mapping[str, Any], model: str, root: str) -> str:
    """Of OpenAPI's `schema`; examples ask `root`, such as "http://127.0.0.1:8000", of the model that is served."""
    parts = [_HEAD.format(title=escape(f"{model} over HTTP"), about=escape(schema["info"]["description"]))]
    groups: dict[str, list[str]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            group = operation.get("tags", ["Predictions and figures"])[0]
            groups.setdefault(group, []).append("\n".join(_operation(path, method, operation, model, root)))
    for group, articles in groups.items():
        parts.append(f"<section class='section'><h2>{escape(group[:1].upper() + group[1:])}</h2>")
        parts += [*articles, "</section>"]
    refusal = schema["components"]["responses"]["Refusal"]["description"]
    parts.append(f"<section class='section'><h2>Errors</h2><p>{escape(refusal)}</p>")
    parts.append(f"{_code({'error': 'no such model; this server has …'})}</section></main></body></html>")
    return "\n".join(parts)


def _operation(path: str, method: str, told: Mapping[str, Any], model: str, root: str) -> Iterator[str]:
    yield f"<article><h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3><p>{escape(told['summary'])}</p>"
    rows = [_parameter(each) for each in told.get("parameters", []) if each["in"] != "path"]
    if rows:
        yield f"<dl>{''.join(rows)}</dl>"
    body = told.get("requestBody", {})
    if body:
        kinds = ", ".join(body["content"])
        yield f"<p class='note'>Body: {escape(kinds)}. {escape(body.get('description', ''))}</p>"
    yield _code(_call(path, method, body, model, root))
    answer = told["responses"].get("200", {})
    example = answer.get("content", {}).get("application/json", {}).get("example")
    if example is not None:
        yield f"<p class='note'>{escape(answer['description'])}</p>{_code(example)}"
    yield "</article>"


def _parameter(told: Mapping[str, Any]) -> str:
    schema = told["schema"]
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    limits = {"minimum": "at least", "maximum": "at most", "pattern": "of the form"}
    said = [str(kinds[0].get("type", ""))] + [
        f"{words} {kinds[0][key]}" for key, words in limits.items() if kinds[0].get(key, _ENDLESS) != _ENDLESS
    ]
    if schema.get("default") is not None:
        said.append(f"default {schema['default']}")
    what = told.get("description") or schema.get("description", "")
    return f"<dt><code>{escape(told['name'])}</code></dt><dd>{escape(', '.join(said))}. {escape(what)}</dd>"


def _call(path: str, method: str, body: Mapping[str, Any], model: str, root: str) -> str:
    address = f"{root}{path.replace('{model}', model)}"
    if "multipart/form-data" in body.get("content", {}):
        return f"curl -F image=@a.jpg '{address}'"
    example = body.get("content", {}).get("application/json", {}).get("example")
    if example is not None:
        return f"curl '{address}' -d '{json.dumps(example)}'"
    return f"curl '{address}'" if method == "get" else f"curl -X {method.upper()} '{address}'"


def _code(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"<pre><code>{escape(text)}</code></pre>"
