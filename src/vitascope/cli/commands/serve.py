"""`vitascope serve CHECKPOINT`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from vitascope.checkpoints.named import check_known
from vitascope.cli.console import Console
from vitascope.errors import ConfigError
from vitascope.optional import needed
from vitascope.recipes.asked import Serve
from vitascope.web.settings import ServeSettings, served_name


def run(asked: Serve, settings: ServeSettings, console: Console) -> dict[str, Any]:
    """Serves until a signal comes, so that nothing is returned but for errors."""
    settings = replace(settings, name=settings.name or served_name(asked.checkpoint))
    check_known(asked.checkpoint)
    needed("serving needs FastAPI and uvicorn", "serve", "fastapi", "python_multipart", "uvicorn")
    from vitascope.web.readers import memory_share
    from vitascope.web.server import address_of, open_socket, serve

    opened = open_socket(settings)
    address = address_of(opened)
    console.say(f"loading {settings.name}; open {address} in a browser (Ctrl-C ends it)")

    def ready() -> None:
        decoding = f"at most {memory_share() / 2**20:,.0f} MiB for decoding"
        pages = f"{address}/teach to teach, {address} to look inside" if settings.teach else f"{address} for the page"
        console.say(f"ready: {pages}, {address}/predict and {address}/v2 for programs; {decoding}")
        if console.json_only:
            print(json.dumps({"url": address, "model": settings.name}), flush=True)

    def load() -> Any:
        from vitascope.checkpoints.kept_examples import read_examples
        from vitascope.inference.exported import open_model
        from vitascope.teaching.known import read_taught
        from vitascope.web.engine import Engine

        checkpoint = open_model(asked.checkpoint, **asked.stated)
        limits: dict[str, Any] = {"max_pixels": settings.max_pixels, "batch": settings.batch}
        taught = read_taught(asked.checkpoint) if settings.teach and asked.image_size is None else None
        started = None if taught is None else taught[0]
        kept = read_examples(asked.examples or asked.checkpoint)
        if asked.examples and not kept:
            raise ConfigError(f"--examples {asked.examples} holds no kept photographs; give a run with --keep-examples")
        limits |= {"teach": settings.teach, "started": started, "kept": kept}
        return Engine(checkpoint, device=asked.device, engine=asked.engine, **limits)

    serve(load, settings, opened, ready)
    return {}
