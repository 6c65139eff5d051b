"""A study in words: tables of its numbers, where models cross, and the verdicts, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vitascope.studies.analysis import FINETUNED, Row, Table, taken
from vitascope.studies.learning import OWN_RATES
from vitascope.studies.settings import Study, passes
from vitascope.wording import duration


def study_text(study: Study, result: dict[str, Any], rows: Sequence[Row]) -> str:
    """The README of a study's folder."""
    measures = (FINETUNED, *(f"{shots}-shot" for shots in study.shots), "pre-training")
    drawn = any("diverged" not in row for row in rows)
    parts = [
        f"# Study {study.kind}: {', '.join(study.sources)} to {', '.join(study.targets)}",
        " ".join(filter(None, (_how(study, result), _seen(study, rows)))),
        told_models(result),
        _tried(study),
        *(_measured(Table(rows, measure, study.axis)) for measure in measures),
        listed("Where ViTs pass the ResNet of the nearest cost", map(_crossing, result["crossovers"])),
        listed("The paper's statements, here", map(told_verdict, result["verdicts"])),
        f"![{study.kind}]({study.kind}.png)" if drawn else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def told_models(result: dict[str, Any]) -> str:
    """The models of a study.json: their sizes, costs and rates."""
    body = [
        (
            name,
            m["kind"],
            f"{m['parameters'] / 1e6:.2f} M",
            f"{m['flops'] / 1e9:.3f}",
            f"{m['images_per_second']:.0f}",
            *(f"{result['rates'][name][key]:g}" for key in OWN_RATES),
        )
        for name, m in result["models"].items()
    ]
    return table(("model", "kind", "parameters", "GFLOP an image", "training, images/s", "rate", "fine-tuning"), body)


def table(head: Iterable[object], body: Iterable[Iterable[object]]) -> str:
    """As Markdown."""
    lines = [f"|{'|'.join(f' {cell} ' if str(cell) else ' ' for cell in row)}|" for row in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(list(head)), *lines[1:]])


def listed(title: str, lines: Iterable[str]) -> str:
    """Under a title; nothing where there is nothing."""
    text = "\n".join(lines)
    return text and f"**{title}**\n\n{text}"


def _how(study: Study, result: dict[str, Any]) -> str:
    runs, where = result["runs"], result["environment"]
    dropped = f", {len(runs['dropped'])} were dropped for time: {', '.join(runs['dropped'])}" if runs["dropped"] else ""
    diverged = (
        f" Diverged, and therefore without numbers: {', '.join(result['diverged'])}." if result["diverged"] else ""
    )
    return (
        f"{runs['done']} runs are done, {runs['left']} are left{dropped}. "
        f"Every model and size has the same settings (settings.json) but for rates: batch {study.batch}, AdamW, the "
        f"step that is best by {study.best_by} on {study.validation_images:,} images kept out{_patience(study)}; "
        f"then {study.finetune_steps:,} steps of SGD on {onto(study)}, and ridge regression on the frozen features. "
        f"Written by `{' '.join(where['command'])}` on {where['processor']}, torch {where['torch']}, "
        f"commit {where.get('commit', 'unknown')}.{diverged}{told_notes(result)}"
    )


def told_notes(result: dict[str, Any]) -> str:
    """What was left out of the images, as sentences after others."""
    return "".join(f" {note[0].upper()}{note[1:]}." for note in result["notes"])


def onto(study: Study) -> str:
    """What models are fine-tuned on, in words."""
    several = len(study.targets)
    return "the target" if several == 1 else f"each of {several} targets, of which accuracies are the means"


def _patience(study: Study) -> str:
    return "" if study.patience is None else f", {study.patience} looks without a better one ending it"


def _tried(study: Study) -> str:
    """How rates were chosen."""
    both = {"for pre-training": study.rates, "for fine-tuning": study.finetune_rates}
    asked = [f"{', '.join(f'{rate:g}' for rate in rates)} {what}" for what, rates in both.items() if rates]
    if not asked:
        return ""
    where = "each model tried on images that no run is judged on, and further ones where the best lay at an end"
    second = (
        "" if study.bit_lr is None else f" ResNets were also fine-tuned in stairs from {study.bit_lr:g}, as BiT's own."
    )
    return f"Rates are those of {' and '.join(asked)} that {where} (rates.json).{second}"


def _seen(study: Study, rows: Sequence[Row]) -> str:
    """How much of its images a pre-training has time for: without it sizes cannot be told from lengths."""
    if not rows:
        return ""
    often = [passes(study, row["size"], row["steps"] if "diverged" in row else taken(row)) for row in rows]
    least, most = (f"{n:,.0f}" if n >= 10 else f"{n:.2g}" for n in (min(often), max(often)))
    said = f"On average an image is seen {least} times where that is least, {most} where it is most."
    return said if min(often) >= 1 else f"{said} Below once, a set is not seen whole, so more images cannot help."


def _measured(of: Table) -> str:
    places = sorted({place for by in of.values.values() for place in by})
    if not places:
        return ""
    what = {"pre-training": "Validation accuracy of pre-training", FINETUNED: "Test accuracy after fine-tuning"}
    title = what.get(of.measure, f"Linear {of.measure} test accuracy")
    by = {"size": "images pre-trained on", "steps": "steps of pre-training"}[of.axis]
    body = [
        (model, *(f"{of.mean(model, p).percent()} ({len(values[p])})" if p in values else "" for p in places))
        for model, values in of.values.items()
    ]
    head = f"**{title}**, by {by}; mean and 95 % interval from the scatter of all seeds"
    return f"{head}\n\n{table(('', *(f'{place:,}' for place in places)), body)}\n\nIn brackets: seeds."


def _crossing(entry: dict[str, Any]) -> str:
    who = f"- {entry['measure']}, {entry['model']} and {entry['other']}: "
    at_last = {1: f"{entry['model']} is ahead", -1: f"{entry['other']} is ahead", 0: "neither is ahead beyond chance"}
    end = f"at the largest size {at_last[entry['ahead']]}"
    if entry["size"] is None:
        return f"{who}the first does not pass the second within the sizes; {end}."
    low = "the smallest size" if entry["low"] is None else f"{entry['low']:,.0f}"
    high = "beyond the largest" if entry["high"] is None else f"{entry['high']:,.0f}"
    return f"{who}at about {entry['size']:,.0f} images (interval: {low} to {high}); {end}."


def told_verdict(entry: dict[str, Any]) -> str:
    """A statement, its outcome and what it was judged by."""
    claims = [f"  - {claim['text']} ({claim['outcome']}{_more(claim)})" for claim in entry["claims"]]
    return "\n".join([f"- {entry['statement']}: **{entry['outcome']}**.", *claims])


def _more(claim: dict[str, Any]) -> str:
    """What would decide it, as often as not: the difference itself is uncertain."""
    if claim["more_seeds"] is None:
        return ""
    seeds = f"{claim['more_seeds']} more {'seed' if claim['more_seeds'] == 1 else 'seeds'} of every model"
    hours = "" if claim["more_hours"] is None else f", {duration(3600 * claim['more_hours'])},"
    return f"; about {seeds}{hours} would decide it as often as not"
