"""`vitascope serve CHECKPOINT`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import stated
from vitascope.errors import ConfigError
from vitascope.optional import needed
from vitascope.web.settings import ServeSettings, served_name

if TYPE_CHECKING:
    from vitascope.web.engine import Engine


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads")
    parser.add_image_size("size of the images the model sees; default: as the checkpoint says")
    parser.add_stated()
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")
    parser.add_engine("eager")
    parser.add_settings(ServeSettings)
    parser.inner.set_defaults({"name": ""})  # then after the checkpoint


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`. Ends by a signal, so that nothing is returned but for errors."""
    args.name = args.name or served_name(args.checkpoint)
    settings: ServeSettings = parser.recipe(args, ServeSettings)
    if not os.path.exists(args.checkpoint):
        raise ConfigError(f"{args.checkpoint} does not exist; expected a file, a folder or a run")
    needed("serving needs FastAPI and uvicorn", "serve", "fastapi", "python_multipart", "uvicorn")
    from vitascope.web.limits import memory_share
    from vitascope.web.server import address_of, open_socket, serve

    opened = open_socket(settings)
    address = address_of(opened)
    console.say(f"loading {settings.name}; open {address} in a browser (Ctrl-C ends it)")

    def ready() -> None:
        decoding = f"at most {memory_share() / 2**20:,.0f} MiB for decoding"
        console.say(f"ready: {address} for the page, {address}/predict and {address}/v2 for programs; {decoding}")
        if console.json_only:
            print(json.dumps({"url": address, "model": settings.name}), flush=True)

    def load() -> Engine:
        from vitascope.checkpoints.load import load
        from vitascope.web.engine import Engine

        checkpoint = load(args.checkpoint, image_size=args.image_size, **stated(args))
        limits = {"max_pixels": settings.max_pixels, "batch": settings.batch}
        return Engine(checkpoint, device=args.device, engine=args.engine, **limits)

    serve(load, settings, opened, ready)
    return {}
