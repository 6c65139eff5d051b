"""`vitascope study inductive-bias CHECKPOINT [CHECKPOINTS…] --out DIR`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ActionYesNo

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.cli.runs import checkpoint_names
from vitascope.studies.inductive_bias.settings import InductiveBias

WHAT = "study"


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoints", nargs="+", help="files, folders or runs, in any format that loads; ViT, hybrid or BiT")
    parser.add("--out", required=True, help="new folder for the numbers, the figure and their reading")
    parser.add("--overwrite", action="store_true", help="replace an earlier study in --out")
    parser.add("--data", help="where images are drawn from, its test split; default: examples of the package")
    parser.add("--images", type=int, default=64, help="how many images of --data")
    yes_or_no = ActionYesNo(yes_prefix="", no_prefix="no_")
    parser.add("--untrained", action=yes_or_no, default=True, help="measure every model untrained as well")
    parser.add("--step", type=int | None, help="pixels of the largest shift and of shuffled cells; default: by models")
    parser.add("--field_images", type=int, default=8, help="images that receptive fields are averaged over")
    parser.add("--seed", type=int, default=0, help="of untrained models, shuffling and choice of images")
    parser.add("--batch", type=int, default=8, help="images per pass")
    parser.add_image_size("size of the images the models see; default: as each checkpoint says")
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    settings = InductiveBias(
        step=args.step,
        field_images=args.field_images,
        batch=args.batch,
        seed=args.seed,
        untrained=args.untrained,
    )
    out = Path(args.out)
    sources = [*args.checkpoints, *filter(None, [args.data])]
    check_output(out, WHAT, overwrite=args.overwrite, sources=sources)
    if args.data is not None:
        from vitascope.data.open import recognise

        recognise(args.data)  # refused before torch is loaded
    from vitascope.checkpoints.atomic import atomic_folder
    from vitascope.checkpoints.load import load
    from vitascope.device import resolve_device
    from vitascope.studies.inductive_bias.report import FIGURE, JSON, write_study
    from vitascope.studies.inductive_bias.study import compare_models, example_pictures, pictures_of

    device = resolve_device(args.device)
    checkpoints = [load(path, image_size=args.image_size) for path in args.checkpoints]
    for checkpoint in checkpoints:
        checkpoint.model.to(device)
    if args.data is None:
        pictures = example_pictures([checkpoint.preprocess.size for checkpoint in checkpoints])
    else:
        pictures = pictures_of(args.data, args.images, args.seed)
    named = list(zip(checkpoint_names(args.checkpoints), checkpoints, strict=True))
    with atomic_folder(out, what=WHAT, overwrite=args.overwrite) as folder:
        models = compare_models(named, pictures.images, settings, console.counter("measuring"))
        reading = write_study(models, pictures.name, settings, folder)
    console.table("inductive bias", ["statement", "verdict"], [(one.statement, one.verdict) for one in reading])
    console.say(f"figure, numbers and their reading lie in {out}")
    return {
        "out": str(out),
        "study": str(out / JSON),
        "figure": str(out / f"{FIGURE}.png"),
        "images": len(pictures.images),
        "reading": [asdict(one) for one in reading],
    }
