"""The page as one file with everything in it, models and images too, which a double click opens without a server.

The data stand in the page as JSON, each layer apart so that a browser reads only what is looked at. The page's own
policy forbids every request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitascope.errors import ConfigError
from vitascope.web.one_page import one_page
from vitascope.whole import written_whole


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
    title = " and ".join(str(model["model"]["name"]) for model in models)
    page = one_page("index.html", title, _data(models, compared))
    with written_whole(path) as temporary:
        # A name that is no UTF-8: what replaces its odd bytes is what JSON writes for them.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def _data(models: Sequence[Mapping[str, Any]], compared: Mapping[str, Any] | None) -> dict[str, Any]:
    """For each model, look and layer, and for how they compare."""
    data: dict[str, Any] = {} if compared is None else {"compared": compared}
    for m, model in enumerate(models):
        data[f"model-{m}"] = model["model"]
        for i, look in enumerate(model["looks"]):
            data[f"look-{m}-{i}"] = {key: value for key, value in look.items() if key != "layers"}
            data |= {f"layer-{m}-{i}-{number}": layer for number, layer in look["layers"].items()}
    return data
