"""The sections of a run's page, each empty where there is nothing to say; words for people who know no ViT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vitascope.evaluation.interval import figures as figures_text
from vitascope.evaluation.sets import sets_text
from vitascope.reports.answer_figures import coverage_figure, forecast_figure
from vitascope.reports.figures import confusion_figure
from vitascope.reports.figures import curves as curves_figure
from vitascope.reports.page import Section, Share, drawing, facts, percent, table, text
from vitascope.reports.pictures import short
from vitascope.reports.reported import Judged, RunReport
from vitascope.wording import count, some

_COPIES = 12
"""Groups of copies shown at most."""
_ROWS, _GAINS = 40, 10
"""Rows of a table at most, and classes that gain most of more images."""
_DRAWN = 40
"""Classes up to which a confusion matrix can be read."""


def verdict(report: RunReport) -> tuple[str, str]:
    """The headline, and what it means."""
    if not report.checkpoint.labels:
        return (
            "A start, learned from images alone",
            "It names nothing yet: fine-tune it, or ask what its features know.",
        )
    if not report.judged:
        return (
            "Nothing tells yet how good it is",
            "No images were held out: `vitascope evaluate` on other images tells.",
        )
    judged = report.judged[0]
    found, caution = judged.figures, f" {judged.caution}" if judged.caution else ""
    if "top1" not in found:
        chance = percent(found["by_chance"])
        return (
            f"Labels are found with a mean average precision of {percent(found['map'])}",
            f"Judged on {count(found['images'], 'image')}: {judged.told}. A random order reaches {chance}.{caution}",
        )
    (low, high), base = found["interval"], found["baseline"]
    always = f"Always saying “{base['class']}”, the most frequent class, is right for {percent(base['top1'])}"
    if found["top1"] <= base["top1"]:
        headline = f"It has not learned to tell them apart: {percent(found['top1'])} of the images are named right"
    else:
        headline = f"{percent(found['top1'])} of the images are named right"
        always += ", and so few images do not tell the two apart" if low <= base["top1"] else ""
    expected = (
        f"Of other images like these, expect between {100 * low:.0f} and {100 * high:.0f} in 100 to be named right "
        "(a range that holds in 95 of 100 such cases). "
    )
    lead = f"Judged on {count(found['images'], 'image')}: {judged.told}. {expected if judged.unseen else ''}"
    return headline, f"{lead}{always}.{caution}"


def accuracy(report: RunReport) -> Section:
    """The figures of all that was judged."""
    if not report.judged:
        return "How good it is", ""
    judged = report.judged[0]
    found, parts = judged.figures, []
    if "top1" in found:
        wrong = round(found["images"] * (1 - found["top1"]))
        parts.append(
            facts(
                [
                    (percent(found["top1"]), "named right"),
                    *([(_range(judged), "to be expected of other images like these")] * judged.unseen),
                    (percent(found["baseline"]["top1"]), f"right by always saying “{found['baseline']['class']}”"),
                    (f"{wrong:,} of {found['images']:,}", "wrong"),
                ]
            )
        )
    if len(report.judged) > 1 and "top1" in found:
        rows: list[list[str | Share]] = [
            [j.told, f"{j.figures['images']:,}", Share(j.figures["top1"]), _range(j) if j.unseen else "–"]
            for j in report.judged
        ]
        parts.append(table(["judged on", "images", "right", "others may show"], rows))
    elif "top1" not in found:
        told = {j.split: figures_text(j.figures) for j in report.judged}
        rows = [[j.told, f"{j.figures['images']:,}", *told[j.split].values()] for j in report.judged]
        parts.append(table(["judged on", "images", *next(iter(told.values()))], rows))
    return "How good it is", "\n".join(parts)


def _range(judged: Judged) -> str:
    """Where the accuracy on other images lies, in 95 of 100 cases."""
    low, high = judged.figures["interval"]
    return f"{100 * low:.0f}–{100 * high:.0f}\N{NO-BREAK SPACE}%"


def by_class(report: RunReport) -> Section:
    """How each class fares, the hardest first."""
    if not report.judged:
        return "Class by class", ""
    judged, classes = report.judged[0], report.checkpoint.labels
    if several := judged.figures.get("per_label"):
        hardest = sorted(several.items(), key=lambda item: float(item[1]["ap"]))
        rows: list[list[str | Share]] = [
            [name, f"{c['images']:,}", Share(c["recall"]), Share(c["precision"]), Share(c["ap"])]
            for name, c in hardest[:_ROWS]
        ]
        body = table(["label", "images", "found", "right when said", "average precision"], rows)
        return "Label by label", body + _hidden(len(several), "labels")
    figures = judged.figures["per_class"]
    taken = _taken_for(judged, classes)
    hardest = sorted(figures.items(), key=lambda item: float(item[1]["top1"]))
    rows = [
        [name, f"{c['images']:,}", Share(c["top1"]), Share(c["precision"]), taken.get(name, "")]
        for name, c in hardest[:_ROWS]
    ]
    body = table(["class", "images", "found", "right when said", "most often taken for"], rows, words=(0, 4))
    said = "“Found” is the share of a class's images that are named so; “right when said” the share of those named so "
    return "Class by class", body + _hidden(len(figures), "classes") + text(f"{said}that are.", soft=True)


def _taken_for(judged: Judged, classes: Sequence[str]) -> dict[str, str]:
    """By class, what its mistakes are called most often."""
    answers = judged.answers
    found: dict[str, Counter[str]] = {}
    for row in answers.mistakes():
        true, said = (classes[int(part[row])] for part in (answers.truth, answers.said))
        found.setdefault(true, Counter())[said] += 1
    best = {true: said.most_common(1)[0] for true, said in found.items()}
    return {true: f"{said} ({times:,})" for true, (said, times) in best.items()}


def _hidden(rows: int, what: str) -> str:
    return text(f"The {_ROWS} hardest of {rows:,} {what}.", soft=True) if rows > _ROWS else ""


def mixed_up(report: RunReport) -> Section:
    """Which classes are taken for which: a matrix of few, a list of many."""
    title, classes = "What is taken for what", report.checkpoint.labels
    if not report.judged or "per_class" not in report.judged[0].figures:
        return title, ""
    judged = report.judged[0]
    if len(classes) <= _DRAWN:
        return title, confusion(judged.answers.truth, judged.answers.said, classes, judged.split)
    rows = [[m["class"], m["taken_for"], f"{m['images']:,}"] for m in judged.figures["mixed_up"]]
    return title, table(["class", "taken for", "images"], rows, words=(0, 1)) if rows else ""


def confusion(truth: np.ndarray, said: np.ndarray, classes: tuple[str, ...], told: str) -> str:
    """The matrix of images by (true, said), (n,) each; `told` says in a word or two which."""
    counts = np.zeros((len(classes),) * 2, dtype=np.int64)
    np.add.at(counts, (truth, said), 1)
    line = "Each row is a true class, each column an answer; what stands on the diagonal is right."
    return drawing(confusion_figure(counts, classes, told), line) + text(line, soft=True)


def copies(report: RunReport) -> Section:
    """Images that are there more than once."""
    found = report.results.get("copies") or []
    if not found:
        return "Copies", ""
    told = (
        f"{count(len(found), 'group')} of images are copies or near copies of one another. Those to learn from were "
        "left out together when one of them was judged; across splits or classes they are worth a look."
    )
    doubtful = sorted(found, key=lambda c: (len(c["classes"]) < 2, len(c["splits"]) < 2))
    rows = [
        [some([short(file) for file in c["files"]], 3), c["kind"], ", ".join(c["splits"]), some(c["classes"], 3)]
        for c in doubtful[:_COPIES]
    ]
    body = table(["files", "copies", "splits", "classes"], rows, words=(0, 1, 2, 3))
    more = text(f"{_COPIES} of them.", soft=True) if len(found) > _COPIES else ""
    return "Copies", text(told, soft=True) + body + more


def forecast(report: RunReport) -> Section:
    """What more images would bring."""
    title, results = "Would more photographs help?", report.results
    if not results.get("forecast"):
        return title, ""
    now = None
    if "loo_top1" in results:
        now = {"images": results["images"], "top1": results["loo_top1"], "interval": results["interval"]}
    told = [
        f"with {f['images']:,} images about {100 * f['top1']:.0f} % ({100 * f['interval'][0]:.0f} to "
        f"{100 * f['interval'][1]:.0f})"
        for f in results["forecast"]
    ]
    line = f"{'; '.join(told)}.".capitalize()
    if now is not None:
        line = f"Now {percent(now['top1'])} of the images left out, of {now['images']:,}; {'; '.join(told)}."
    if report.foretold_by:
        line = f"By {report.foretold_by}: {line[0].lower()}{line[1:]}"
    body = text(line) + drawing(forecast_figure(now, results["forecast"]), line)
    gains = {name: gain for name, gain in sorted(results["gains"].items(), key=lambda g: -g[1]) if gain >= 0.005}
    if gains:
        rows = [[name, f"{100 * gain:+.1f} points"] for name, gain in list(gains.items())[:_GAINS]]
        body += text("What twice the photographs of one class would bring to that class:", soft=True)
        body += table(["class", "expected"], rows)
    return title, body


def unsure(report: RunReport) -> Section:
    """How right the sure answers are, and sets of labels."""
    title = "When it is not sure"
    found = report.judged[0].figures if report.judged else {}
    parts = []
    if withheld := found.get("selective"):
        by_share = dict(zip(withheld["coverage"], withheld["top1"], strict=True))
        told = (
            f"If only the surest half are answered and people look at the rest, {percent(by_share[0.5])} of the "
            f"answers are right; of the surest 80 %, {percent(by_share[0.8])}; of all, {percent(by_share[1.0])}."
        )
        area = f"Area under risk against coverage: {withheld['aurc']:.4f}, of which 0 is the best."
        parts += [text(told), drawing(coverage_figure(withheld), told), text(area, soft=True)]
    if sets := found.get("sets"):
        parts.append(text(f"{sets_text(sets, several='per_label' in found).capitalize()}.", soft=True))
    return title, "\n".join(parts)


def curves(report: RunReport) -> Section:
    """How learning went."""
    figure = None if report.curves is None else curves_figure({"": report.curves})
    told = "How the loss fell and the accuracy rose while it learned."
    return "Learning curves", "" if figure is None else drawing(figure, told)
