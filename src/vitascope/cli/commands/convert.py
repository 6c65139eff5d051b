"""`vitascope convert CHECKPOINT OUT --format F`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.formats.names import FORMATS
from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import stated


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads")
    parser.add("out", help="what to write: a folder, or a file for google and torchvision")
    parser.add("--format", choices=list(FORMATS), default="vitascope", help="format to write")
    parser.add_image_size("resize the positions for images of this size")
    parser.add_stated()
    parser.add("--model", help="name in the catalogue, where the file leaves the architecture open")
    parser.add("--overwrite", action="store_true", help="replace what is at OUT")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    check_output(args.out, "checkpoint", overwrite=args.overwrite, sources=[args.checkpoint])
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.save import save

    checkpoint = load(args.checkpoint, image_size=args.image_size, **stated(args), model=args.model)
    save(checkpoint, args.out, format=args.format, overwrite=args.overwrite)
    parameters = sum(p.numel() for p in checkpoint.model.parameters())
    console.say(f"{args.checkpoint} ({checkpoint.format}, {parameters:,} parameters) → {args.out} ({args.format})")
    return {"out": args.out, "from": checkpoint.format, "to": args.format, "parameters": parameters}
