"""`vitascope train PHOTOS --out RUN`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from vitascope.cli.checked import show_checked
from vitascope.cli.console import Console
from vitascope.recipes.train_asked import Train

if TYPE_CHECKING:
    from vitascope.data.check import Report
    from vitascope.recipes.train import Trained
    from vitascope.recipes.train_report import Plan


def run(asked: Train, console: Console) -> dict[str, Any]:
    """Checks, says its plan, teaches, fine-tunes, and shows what came out and how sure that is."""
    from vitascope.recipes.train import Told, train_run

    show = console.observer("checking").counted

    def checked(report: Report) -> None:
        show_checked(report, console)

    def plan(made: Plan) -> None:
        console.table(f"plan for {asked.time_budget}", ["option", "chosen, and why"], [list(r) for r in made.rows])

    trained = train_run(
        asked,
        Told(
            checked=checked,
            plan=plan,
            reading=lambda split, done, total: show(f"reading {split}", done, total),
            features=console.counter("computing features"),
            observer=console.observer("fine-tuning", evaluations=False),
        ),
        begun=console.begun,
    )
    for line in lines(asked, trained):
        console.say(line)
    return {"model": f"{asked.out}/model", **trained.results}


def lines(asked: Train, trained: Trained) -> list[str]:
    """What came out, how sure that is, what would help most, and how to go on."""
    from vitascope.evaluation.interval import figures
    from vitascope.evaluation.metrics import SCORES
    from vitascope.recipes.train_report import NAMES
    from vitascope.wording import duration

    results, kept = trained.results, trained.kept
    part = "test" if "test" in results else "validation"
    told = next(f"{part} {name} {text}" for name, text in figures(results[part]).items())
    others = [
        f"{NAMES[name]} has {SCORES[score]} {100 * of[score]:.1f} % on the validation images"
        for name, of in results["compared"].items()
        for score in SCORES
        if name != kept and score in of
    ]
    first = f"after {duration(results['seconds'])} {NAMES[kept]} is kept: {told}"
    run, skip = shlex.quote(asked.out), " --on-error skip" * bool(results["unreadable"])
    return [
        "; ".join([first, *others]),
        _how_sure(results, part),
        _what_helps(results),
        f"open {asked.out}/report.html in a browser; go on: "
        f"vitascope predict {run} NEW-PHOTOS · vitascope evaluate {run} {shlex.quote(asked.data)}{skip} · "
        f"vitascope serve {run} · vitascope inspect {run} --out inside",
    ]


def _how_sure(results: dict[str, Any], part: str) -> str:
    """How far the figure may be trusted, and where the model is weakest."""
    from vitascope.wording import printable

    judged, said = results[part], []
    if judged.get("chosen_on"):
        said.append("the choice between the two was made on these images, so it flatters them a little")
    elif part == "validation":
        said.append("nothing was learned or chosen from these images")
    else:
        said.append("these images played no part in anything")
    shares = {name: each["top1"] for name, each in judged.get("per_class", {}).items() if each["images"]}
    if shares:
        worst = min(shares, key=lambda name: shares[name])
        images = judged["per_class"][worst]["images"]
        said.append(f"weakest is {printable(worst)!r}: {100 * shares[worst]:.0f} % of {images:,}")
    return f"how sure: {'; '.join(said)}"


def _what_helps(results: dict[str, Any]) -> str:
    """What more photographs would bring, by the forecast of the taught head."""
    from vitascope.wording import printable

    if suspects := len(results.get("suspects", ())):
        more = f"; {suspects} labels are likelier wrong than right"
    else:
        more = ""
    if not results["forecast"]:
        few = "several labels an image" if "map" in results["validation"] else "so few"
        few = "images that the start was trained on" if results["trained_on"] else few
        return f"what would help: more photographs; of {few} nothing can be foretold{more}"
    said = results["forecast"][0]
    low, high = (100 * each for each in said["interval"])
    text = f"twice the photographs: about {100 * said['top1']:.0f} % ({low:.0f}–{high:.0f})"
    best = max(results["gains"], key=lambda name: results["gains"][name])
    if results["gains"][best] >= 0.005:
        text += f"; twice those of {printable(best)!r}: about {100 * results['gains'][best]:+.0f} points for that class"
    return f"what would help, by the taught head: {text}{more}"
