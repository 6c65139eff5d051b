"""`vitascope fewshot CHECKPOINT DATA`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from vitascope.cli.console import Console
from vitascope.cli.parser import Parser
from vitascope.errors import ConfigError

T = TypeVar("T")


def arguments(parser: Parser) -> None:
    """See `vitascope.cli.Command`."""
    parser.add("checkpoint", help="a file, a folder or a run, in any format that loads; its head plays no part")
    parser.add("data", help="where shots are drawn from, its train split (`vitascope data` lists the kinds)")
    parser.add("--test", help="other data of the same classes to be judged on; default: the test split of DATA")
    parser.add("--shots", default="1,5,10", help="training images per class, one or more numbers")
    parser.add("--seeds", type=int, default=5, help="how many draws of the shots")
    parser.add("--methods", default="ridge,knn,probe", help="closed form, nearest neighbours, logistic regression")
    parser.add("--l2", default="1024", help="λ of the ridge regression, one or more numbers")
    parser.add("--neighbours", type=int, default=20, help="how many vote in knn, at most")
    parser.add_image_size("size of the images the model sees; default: as the checkpoint says")
    parser.add("--batch", least=1, default=64, help="images per forward pass")
    parser.add("--workers", least=0, default=0, help="processes that read images besides this one")
    parser.add("--device", help="cpu, cuda, …; default: the GPU if there is one")


def run(args: Any, parser: Parser, console: Console) -> dict[str, Any]:
    """See `vitascope.cli.Command`."""
    from vitascope.data.open import recognise
    from vitascope.evaluation.shots import FewShot
    from vitascope.wording import printable

    settings = FewShot(
        shots=_several("shots", args.shots, int),
        seeds=args.seeds,
        methods=_several("methods", args.methods, str),
        l2=_several("l2", args.l2, float),
        neighbours=args.neighbours,
    )
    for data in filter(None, (args.data, args.test)):
        recognise(data)  # refused before torch is loaded
    from vitascope.recipes.fewshot import fewshot_checkpoint

    result = fewshot_checkpoint(
        args.checkpoint,
        args.data,
        settings,
        test=args.test,
        image_size=args.image_size,
        batch=args.batch,
        workers=args.workers,
        device=args.device,
        reading=console.counter("computing features"),
        fitting=console.counter("fitting"),
    )
    seeds = "one seed" if args.seeds == 1 else f"mean ± 95 % interval over {args.seeds} seeds"
    test = result["test"]
    title = f"few-shot accuracy on {test['name']} ({test['split']}, {test['images']:,} images), {seeds}"
    always = f"{printable(result['baseline']['class'])!r} {100 * result['baseline']['top1']:.1f} %"
    console.table(f"{title}; always {always}", *_table(result["results"], test["images"]))
    return result


def _table(results: list[dict[str, Any]], images: int) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: shots × methods."""
    from vitascope.evaluation.interval import accuracy_text, interval

    several = len({entry["l2"] for entry in results if entry["method"] == "ridge"}) > 1
    columns: list[str] = []
    rows: dict[int, list[str]] = {}
    for entry in results:
        name = f"ridge λ={entry['l2']:g}" if several and entry["method"] == "ridge" else entry["method"]
        if name not in columns:
            columns.append(name)
        # Of a single draw only the scatter of the test images is known.
        alone = accuracy_text({"top1": entry["mean"], "images": images})
        said = alone if len(entry["accuracies"]) == 1 else interval(entry["accuracies"]).percent()
        rows.setdefault(entry["shots"], []).append(said)
    return ["shots", *columns], [[str(shots), *cells] for shots, cells in rows.items()]


def _several(name: str, text: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(kind(part.strip()) for part in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"--{name} is {text!r}, expected {what} with commas between, such as 1,5,10") from None
