"""What a study foretold: the page is what its rows say."""

from __future__ import annotations

import findings
import forecasts


def test_the_forecasts_are_those_of_the_rows() -> None:
    """Else: the command in benchmarks/forecasts.py"""
    folder = findings.RESULTS / "comparison"
    text = forecasts.told(folder / "study")
    assert (folder / "forecasts.txt").read_text(encoding="utf-8") == f"{text}\n"
    assert "2 seeds: 5-shot, 500 images: ViT-64/2 against BiT-R11x½: -3.6 ± 4.0 points; with 1 more -3.5 ± 2.0" in text


def test_the_size_of_a_comparison_is_the_larger_of_two() -> None:
    assert forecasts.at("fine-tuned, 48,000 images against 500: ViT on BiT") == 48_000
    assert forecasts.at("5-shot, 500 images: ViT against BiT") == 500
