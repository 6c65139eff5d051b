"""`vitascope inspect CHECKPOINT [CHECKPOINTS…] [IMAGES…] --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import checkpoint_names, stated

if TYPE_CHECKING:
    from vitascope.checkpoints.checkpoint import Checkpoint
    from vitascope.views.report import NamedImage, Report

PAGE, WHAT = "inspect.html", "report"
_ATTENTION_BYTES = 24 * 2**20  # of attention in the page; browsers open twice as much text without a pause


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads")
    others = "further checkpoints to show beside it, then image files and folders"
    parser.add("others", nargs="*", default=[], help=others)
    parser.add("--out", required=True, help="new folder for the page, figures and numbers")
    parser.add("--overwrite", action="store_true", help="replace an earlier report in --out")
    parser.add("--show", least=1, default=6, help="how many of the images are shown one by one")
    parser.add("--batch", least=1, default=16, help="images per forward pass")
    parser.add_image_size("size of the images the model sees; default: as the checkpoint says")
    parser.add_stated()
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    out = Path(args.out)
    sources = [args.checkpoint, *args.others]
    check_output(out, WHAT, overwrite=args.overwrite, sources=sources)
    from vitascope.checkpoints.atomic import atomic_folder
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.locate import is_checkpoint
    from vitascope.device import resolve_device
    from vitascope.inference.files import find_images
    from vitascope.views.report import NamedImage, make_report
    from vitascope.views.report_files import JSON, write_report
    from vitascope.web.offline import write_page

    paths = [args.checkpoint]
    while args.others and is_checkpoint(Path(args.others[0])):
        paths.append(args.others.pop(0))
    given = [NamedImage(name=str(file), image=file) for file in find_images(args.others)] if args.others else None
    names = checkpoint_names(paths)
    checkpoints = [load(path, image_size=args.image_size, **stated(args)) for path in paths]
    images = given or _examples(checkpoints)
    reports: list[Report] = []
    with atomic_folder(out, what=WHAT, overwrite=args.overwrite) as folder:
        for name, checkpoint in zip(names, checkpoints, strict=True):
            checkpoint.model.to(resolve_device(args.device))
            report = make_report(
                checkpoint,
                images,
                name=name,
                show=args.show,
                batch=args.batch,
                progress=console.counter(f"looking with {name}"),
            )
            for _, error in report.unreadable:
                console.say(f"left out: {error}")
            write_report(report, folder if len(paths) == 1 else folder / name)
            reports.append(report)
        write_page(folder / PAGE, [_for_page(report) for report in reports])
    console.table(
        "inspected", ["checkpoint", "model", "images", "attention distance first → last layer"], map(_row, reports)
    )
    console.say(f"open {out / PAGE} in a browser; figures and numbers lie beside it")
    return {
        "out": str(out),
        "page": str(out / PAGE),
        "reports": [str(out / JSON if len(paths) == 1 else out / name / JSON) for name in names],
        "images": reports[0].images,
        "exit_code": 2 if any(report.unreadable for report in reports) else 0,
    }


def _examples(checkpoints: list[Checkpoint]) -> list[NamedImage]:
    """The same for all checkpoints: digits only where every model is small enough for them."""
    from vitascope.views.report import NamedImage
    from vitascope.web.examples import examples

    height, width = (max(c.preprocess.size[axis] for c in checkpoints) for axis in (0, 1))
    return [NamedImage(name=e.name, image=e.content) for e in examples((height, width))]


def _for_page(report: Report) -> dict[str, Any]:
    """The report as the page takes it, with the attention of as many images and layers as there is room for."""
    from vitascope.web.payload import layer_payload, look_payload, model_payload

    looks, room = [], _ATTENTION_BYTES
    for n, (name, look) in enumerate(report.looks):
        depth, heads, tokens, _ = look.queries.shape
        held = _spread(depth, room // (heads * tokens**2))
        room -= len(held) * heads * tokens**2
        layers = {str(layer): layer_payload(look, layer) for layer in held}
        looks.append({**look_payload(look, f"image-{n}", Path(name).name), "layers": layers})
    examples = [{"id": look["id"], "name": look["name"]} for look in looks]
    return {"model": model_payload(report.scope, report.name, examples), "looks": looks}


def _spread(depth: int, most: int) -> list[int]:
    """At most `most` of the layers 0 … depth − 1, first and last among them, evenly; none where two are too many."""
    count = min(depth, most)
    if count < min(depth, 2):
        return []
    return [round(n * (depth - 1) / max(count - 1, 1)) for n in range(count)]


def _row(report: Report) -> list[str]:
    first, last = report.distance[0].mean(), report.distance[-1].mean()
    return [report.name, report.scope.name, str(report.images), f"{first:.1f} → {last:.1f} pixels"]
