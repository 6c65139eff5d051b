"""The tables of results/benchmarks, README.md and docs/comparison.md, made from the result files.

python benchmarks/table.py

Writes results/benchmarks/PROCESSOR/README.md, all that was measured there, and what stands between marks: in README.md
the results (`findings.py`), and of speed one line for each ratio that something is aimed at, from every processor; in
docs/comparison.md the models of that study and the paper's statements.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import findings
from contest import FOLDER
from rows import ROWS, Row
from vitascope.studies.reading import told_models, told_verdict
from vitascope.whole import written_whole

README = Path(__file__).parent.parent / "README.md"
COMPARISON = README.parent / "docs" / "comparison.md"
HEAD = "| measure | beside | times as fast (quartiles) | aim | products alone |\n|---|---|---|---|---|\n"


def main() -> None:
    """Writes every table anew."""
    for path, text in made():
        write(path, text)


def made() -> Iterator[tuple[Path, str]]:
    """Every page with tables of results, and what it says now that these are there."""
    parts = []
    for folder in sorted(path for path in FOLDER.iterdir() if path.is_dir()):
        results = [(row, result) for row in ROWS if (result := read(folder / f"{row.name}.json"))]
        if results:
            yield folder / "README.md", page(folder, results)
            if any(next(lines_of(row, result, True), "") for row, result in results):
                parts.append(section(results, aimed=True))
    text = between(README.read_text(encoding="utf-8"), "results", "\n".join(findings.lines()))
    yield README, between(text, "speed", "\n".join(parts).rstrip())
    study = json.loads((findings.RESULTS / findings.FILES["comparison"]).read_text(encoding="utf-8"))
    runs = study["runs"]
    left = f"**Not finished: {runs['done']} runs are done, {runs['left']} are left.**\n\n" if runs["left"] else ""
    text = between(COMPARISON.read_text(encoding="utf-8"), "models", left + told_models(study))
    yield COMPARISON, between(text, "statements", "\n".join(map(told_verdict, study["verdicts"])))


def between(text: str, name: str, table: str) -> str:
    """`text` with another table between the two marks of `name`."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"no place for the table: expected {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a table."""
    return f"<!-- {name}: made by benchmarks/table.py -->", f"<!-- end of {name} -->"


def read(path: Path) -> dict[str, Any] | None:
    """A result, or None where that row was not measured."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def section(results: list[tuple[Row, dict[str, Any]]], aimed: bool = False) -> str:
    """The table of one processor; with `aimed`, of those ratios alone that something is aimed at."""
    lines = "".join(line for row, result in results for line in lines_of(row, result, aimed))
    threads = max(result["threads"] for _, result in results)
    return f"{results[0][1]['processor']}, {threads} threads unless a row says one core:\n\n{HEAD}{lines}"


def lines_of(row: Row, result: dict[str, Any], aimed: bool) -> Iterator[str]:
    """A line for every peer."""
    for name, ratio in result.get("ratios", {}).items():
        ours, _, peer = name.partition(" over ")
        aim = row.aim(peer, result["processor"])
        if aimed and aim is None:
            continue
        way = "" if ours == "vitascope" else f" ({ours.removeprefix('vitascope').lstrip(', ')})"
        yield (
            f"| {result['measure']}{way} | {peer} | **{ratio['median']:.3g}** ({ratio['low']:.3g}–{ratio['high']:.3g}) "
            f"| {'' if aim is None else f'{aim:g}'} | {ceiling(result, peer)} |\n"
        )


def ceiling(result: dict[str, Any], peer: str) -> str:
    """How many times as fast as the peer its operations would be at the rate of the matrix product, nothing besides."""
    share = result.get("ways", {}).get(peer, {}).get("share_of_product")
    return f"{1 / share['median']:.2f}" if share else ""


def page(folder: Path, results: list[tuple[Row, dict[str, Any]]]) -> str:
    """All that was measured on one processor."""
    text = [
        f"# Measured on {results[0][1]['processor']}\n",
        "Made by `python benchmarks/table.py`.\n",
        f"{section(results)}\n",
    ]
    for row, result in results:
        packages = ", ".join(f"{name} {version}" for name, version in result["packages"].items())
        text += [
            f"## {result['measure']}\n",
            f"`python {' '.join(result['command'][1:])}`, commit {result['commit'][:9]}"
            f"{' and changes not committed' if result['dirty'] else ''}; Python {result['python']}, {packages}.\n",
        ]
        if "product_tflops" in result:
            text.append(f"The matrix product: {result['product_tflops']:.3g} TFLOP/s.\n")
        if result.get("ways"):
            text += [*ways(result["ways"]), ""]
        text += [*facts(result), ""]
        if "limit" in result:
            text.append(f"{result['limit']}\n")
        profile = f"{row.name}-profile.txt"
        told = f", [where the time goes]({profile})" if (folder / profile).exists() else ""
        text.append(f"Everything: [{row.name}.json]({row.name}.json){told}.\n")
    return "\n".join(text)


def ways(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Medians of every way, one column for each thing measured."""
    columns = list(dict.fromkeys(column for values in found.values() for column in values))
    yield f"| | {' | '.join(column.replace('_', ' ') for column in columns)} |"
    yield "|---|" + "---|" * len(columns)
    for name, values in found.items():
        cells = [f"{values[column]['median']:,.4g}" if column in values else "" for column in columns]
        yield f"| {name} | {' | '.join(cells)} |"


def facts(result: dict[str, Any]) -> Iterator[str]:
    """What a row measured beside the ways: numbers, and tables of numbers."""
    for name, value in result.items():
        if name in ("threads", "dirty", "product_tflops", "ways", "ratios", "packages"):
            continue
        numbers = value if isinstance(value, dict) else {"": value}
        if numbers and all(isinstance(number, int | float) for number in numbers.values()):
            told = ", ".join(f"{key} {number:.4g}".strip() for key, number in numbers.items())
            yield f"- {name.replace('_', ' ')}: {told}"


def write(path: Path, text: str) -> None:
    """Replaces a file as a whole."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
