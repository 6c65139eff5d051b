"""`vitascope teach CHECKPOINT DATA --out RUN`."""

from __future__ import annotations

from typing import Any

from vitascope.checkpoints.output import check_output
from vitascope.cli.console import Console
from vitascope.recipes.asked import Teach

_BETWEEN = ("splits", "classes")


def run(asked: Teach, console: Console) -> dict[str, Any]:
    """Teaches, and shows how well by images left out."""
    check_output(
        asked.out, "teaching", overwrite=asked.overwrite, sources=[asked.checkpoint, *filter(None, [asked.data])]
    )
    from vitascope.checkpoints.run_files import MODEL, REPORT
    from vitascope.evaluation.interval import figures as figures_text
    from vitascope.evaluation.selective import selective_text
    from vitascope.evaluation.sets import sets_text
    from vitascope.recipes.teach import teach_run
    from vitascope.wording import duration

    results = teach_run(asked, console.counter("computing features")).results
    left_out = {name.removeprefix("loo_"): value for name, value in results.items()}
    figures = {"images left out, each in turn": left_out}
    figures |= {name: results[name] for name in ("validation", "test") if name in results}
    rows = [[name, found["images"], *figures_text(found).values()] for name, found in figures.items()]
    console.table(asked.out, ["judged on", "images", *figures_text(left_out)], rows)
    if "per_label" in results:
        console.table(
            "labels of images left out",
            ["label", "average precision", "F1", "images"],
            [[k, f"{100 * v['ap']:.1f} %", f"{100 * v['f1']:.1f} %", v["images"]] for k, v in _hardest(results)],
        )
    if suspects := results["suspects"]:
        console.table(
            f"labels that are likelier wrong than right, {min(len(suspects), 10)} of {len(suspects)}",
            ["file", "label", "looks like", "wrong"],
            [[s["file"], s["label"], s["looks_like"], f"{100 * s['wrong']:.0f} %"] for s in suspects[:10]],
        )
    if doubtful := [c for c in results["copies"] if len(c["splits"]) > 1 or len(c["classes"]) > 1]:
        console.table(
            f"copies across splits or classes, {min(len(doubtful), 10)} of {len(doubtful)}",
            ["files", "copies", "splits", "classes"],
            [[", ".join(c["files"]), c["kind"], *(", ".join(c[name]) for name in _BETWEEN)] for c in doubtful[:10]],
        )
    if "per_label" in results:
        console.say("what more photographs would bring is foretold for one label an image only")
    if results["forecast"]:
        console.say(_forecast_text(results["forecast"], results["gains"]))
    judged = results.get("test", results.get("validation", results))
    if "selective" in judged:
        console.say(selective_text(judged["selective"]))
    if judged["sets"]:
        console.say(sets_text(judged["sets"], several="per_label" in results))
    where = f"the model is in {asked.out}/{MODEL}; open {asked.out}/{REPORT} in a browser"
    console.say(f"taught in {duration(results['seconds'])}; {where}")
    return {"model": f"{asked.out}/{MODEL}", **results}


def _hardest(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The forty labels of the lowest average precision."""
    return sorted(results["per_label"].items(), key=lambda item: float(item[1]["ap"]))[:40]


def _forecast_text(forecast: list[dict[str, Any]], gains: dict[str, float]) -> str:
    """What more photographs would bring, in a line."""
    from vitascope.wording import printable

    expected = [
        f"{100 * f['top1']:.0f} % ({100 * f['interval'][0]:.0f}–{100 * f['interval'][1]:.0f}) from {f['images']:,}"
        for f in forecast
    ]
    best = max(gains, key=lambda name: gains[name])
    more = f"; twice the images of {printable(best)!r} would bring that class about {100 * gains[best]:+.0f} points"
    return f"with more images like these: {', '.join(expected)}{more if gains[best] >= 0.005 else ''}"
