"""`vitascope similar CHECKPOINT IMAGE [PATHS…]`."""

from __future__ import annotations

from typing import Any

from vitascope.cli.console import Console
from vitascope.recipes.asked import Similar


def run(asked: Similar, console: Console) -> dict[str, Any]:
    """Looks for them, and shows those that decided the answer of a run that was taught."""
    from vitascope.recipes.similar import similar

    told = similar(asked)
    labelled = "label" in told["similar"][0]
    rows = [[s["file"], *([s["label"]] if labelled else []), f"{s['cosine']:.3f}"] for s in told["similar"]]
    console.table(f"most like {asked.image}", ["file", *(["label"] if labelled else []), "cosine"], rows)
    if "decided" in told:
        rival = "" if told["instead_of"] is None else f", not {told['instead_of']!r}"
        console.table(
            f"what decided {told['answer']!r}{rival}: what each added{' to the lead' * bool(rival)}, in logits",
            ["file", "label", "lead"],
            [[d["file"], d["label"], f"{d['lead']:+.3f}"] for d in told["decided"]],
        )
    return told
