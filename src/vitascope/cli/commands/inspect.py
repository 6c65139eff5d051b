"""`vitascope inspect CHECKPOINT [CHECKPOINTS…] [IMAGES…] --out DIR`."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.runs import checkpoint_names
from vitascope.errors import UserError
from vitascope.recipes.asked import Inspect

if TYPE_CHECKING:
    from vitascope.checkpoints.checkpoint import Checkpoint
    from vitascope.views.report import NamedImage, Report

PAGE, COMPARED, WHAT = "inspect.html", "compared.json", "report"
_JUDGED = 2000  # images at most that several models are compared on; more are for `vitascope compare`
_ATTENTION_BYTES = 24 * 2**20  # of attention in the page; browsers open twice as much text without a pause


def run(asked: Inspect, console: Console) -> dict[str, Any]:
    """Looks, and writes page, figures and numbers."""
    out = Path(asked.out)
    sources = [asked.checkpoint, *asked.others]
    check_output(out, WHAT, overwrite=asked.overwrite, sources=sources)
    from vitascope.checkpoints.load import load
    from vitascope.checkpoints.locate import is_checkpoint
    from vitascope.checkpoints.output import atomic_folder
    from vitascope.checkpoints.run_files import write_json
    from vitascope.device import resolve_device
    from vitascope.inference.files import find_images
    from vitascope.views.report import NamedImage, make_report
    from vitascope.views.report_files import JSON, write_report
    from vitascope.web.offline import write_page

    paths = [asked.checkpoint, *takewhile(is_checkpoint, asked.others)]
    rest = asked.others[len(paths) - 1 :]
    given = [NamedImage(name=str(file), image=file) for file in find_images(rest)] if rest else None
    names = checkpoint_names(paths)
    checkpoints = [load(path, **asked.stated) for path in paths]
    images = given or _examples(paths, checkpoints)
    compared = None if len(paths) == 1 else _compared(paths, names, checkpoints, asked, console)
    reports: list[Report] = []
    with atomic_folder(out, what=WHAT, overwrite=asked.overwrite) as folder:
        for name, checkpoint in zip(names, checkpoints, strict=True):
            checkpoint.model.to(resolve_device(asked.device))
            report = make_report(
                checkpoint,
                images,
                name=name,
                show=asked.show,
                batch=asked.batch,
                progress=console.counter(f"looking with {name}"),
            )
            for _, error in report.unreadable:
                console.say(f"left out: {error}")
            write_report(report, folder if len(paths) == 1 else folder / name)
            reports.append(report)
        if compared is not None:
            write_json(folder / COMPARED, compared)
        write_page(folder / PAGE, [_for_page(report) for report in reports], compared and _tables(compared))
    console.table(
        "inspected", ["checkpoint", "model", "images", "attention distance first → last layer"], map(_row, reports)
    )
    console.say(f"open {out / PAGE} in a browser; figures and numbers lie beside it")
    return {
        "out": str(out),
        "page": str(out / PAGE),
        "reports": [str(out / JSON if len(paths) == 1 else out / name / JSON) for name in names],
        "images": reports[0].images,
        "compared": compared,
        "exit_code": 2 if any(report.unreadable for report in reports) else 0,
    }


def _compared(
    paths: list[str], names: list[str], checkpoints: list[Checkpoint], asked: Inspect, console: Console
) -> dict[str, Any]:
    """What `vitascope compare` finds, where the data is there that all learned from; else what they cost."""
    from vitascope.recipes.compare import beside, compare
    from vitascope.recipes.contenders import contender

    contenders = [contender(*each) for each in zip(paths, names, checkpoints, strict=True)]
    judging = partial(compare, contenders, batch=asked.batch, device=asked.device, most=_JUDGED)
    try:
        return judging(progress=lambda name: console.counter(f"judging {name}"))
    except UserError as error:
        return beside(contenders, str(error))


def _tables(compared: dict[str, Any]) -> dict[str, Any]:
    """As the page takes it."""
    from vitascope.recipes.compare import as_tables

    tables = [dict(zip(("title", "columns", "rows"), table, strict=True)) for table in as_tables(compared)]
    return {"tables": tables, "notes": compared["notes"]}


def _examples(paths: list[str], checkpoints: list[Checkpoint]) -> list[NamedImage]:
    """The same for all checkpoints: those that a run kept, else digits only where all may know them."""
    from vitascope.checkpoints.kept_examples import read_examples
    from vitascope.views.report import NamedImage
    from vitascope.web.examples import examples

    height, width = (max(c.preprocess.size[axis] for c in checkpoints) for axis in (0, 1))
    kept = next(filter(None, map(read_examples, paths)), [])
    labels = [label for c in checkpoints for label in c.labels]
    return [NamedImage(name=e.name, image=e.content) for e in examples((height, width), labels, kept)]


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
