"""The tables: a line for each peer, the aim of this processor, nothing of a page touched but its table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import findings
import table
from rows import ROWS


def result(processor: str) -> dict[str, Any]:
    return {
        "row": "training-vit-ti-4",
        "processor": processor,
        "threads": 2,
        "python": "3.11",
        "packages": {"torch": "2.13"},
        "commit": "0123456789abcdef",
        "dirty": False,
        "command": ["python", "benchmarks/training.py", "--model", "ViT-Ti/4"],
        "measure": "training step",
        "product_tflops": 0.15,
        "ways": {
            "vitascope": {"milliseconds": {"median": 10.0, "low": 9.0, "high": 11.0}},
            "timm": {
                "milliseconds": {"median": 20.0, "low": 19.0, "high": 21.0},
                "share_of_product": {"median": 0.5, "low": 0.5, "high": 0.5},
            },
        },
        "ratios": {"vitascope compiled over timm": {"median": 2.0, "low": 1.75, "high": 2.25}},
        "limit": "What limits it.",
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(table, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(table, "README", tmp_path / "README.md")
    monkeypatch.setattr(table, "COMPARISON", tmp_path / "comparison.md")
    (tmp_path / "comparison.md").write_text(
        "".join(f"{b}\n{e}\n" for b, e in map(table.marks, ("models", "statements")))
    )
    monkeypatch.setattr(findings, "lines", lambda: ["| found |"])
    for slug, processor in (("one", "CPU (avx2)"), ("two", "CPU (amx_bf16)")):
        (tmp_path / "results" / slug).mkdir(parents=True)
        (tmp_path / "results" / slug / "training-vit-ti-4.json").write_text(json.dumps(result(processor)))
    return tmp_path


def test_tables(folder: Path) -> None:
    (begin, end), (first, last) = table.marks("results"), table.marks("speed")
    (folder / "README.md").write_text(f"# Title\n\n{begin}\nold\n{end}\n\nText.\n\n{first}\nold\n{last}\n\nMore.\n")
    table.main()
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# Title\n\n{begin}\n| found |\n{end}\n\nText.\n\n{first}\n")
    assert text.endswith(f"\n{last}\n\nMore.\n")
    assert "old" not in text
    assert "| training step (compiled) | timm | **2** (1.75–2.25) | 1.6 | 2.00 |" in text
    assert "| training step (compiled) | timm | **2** (1.75–2.25) | 2 | 2.00 |" in text  # with AMX more is aimed at
    table.main()
    assert (folder / "README.md").read_text() == text
    page = (folder / "results" / "one" / "README.md").read_text()
    assert "What limits it." in page
    assert "python benchmarks/training.py --model ViT-Ti/4" in page
    assert "| timm | 20 | 0.5 |" in page
    comparison = (folder / "comparison.md").read_text()
    assert "| ViT-64/2 | ViT | 0.31 M |" in comparison
    assert (
        "\n- Small sets, fine-tuned: larger ViTs below the smaller one, ViTs below ResNets (Fig. 3): **" in comparison
    )


def test_a_readme_without_marks_is_left_alone(folder: Path) -> None:
    (folder / "README.md").write_text("# Title\n")
    with pytest.raises(SystemExit, match="no place for the table"):
        table.main()
    assert (folder / "README.md").read_text() == "# Title\n"


def test_rows_have_names_of_their_own_and_scripts_that_exist() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    root = Path(table.__file__).parent.parent
    assert [row.name for row in ROWS if row.command and not (root / row.command[0]).exists()] == []


def test_kept_results_are_of_rows_and_hold_the_peers_that_are_aimed_at() -> None:
    root = Path(table.__file__).parent.parent / "results" / "benchmarks"
    rows = {row.name: row for row in ROWS}
    found = {path: json.loads(path.read_text()) for path in sorted(root.glob("*/*.json"))}
    assert [str(path) for path in found if path.stem not in rows] == []
    for path, kept in found.items():
        peers = {name.partition(" over ")[2] for name in kept.get("ratios", {})}
        assert not peers or set(rows[path.stem].aims) <= peers, path


def test_every_page_says_what_the_results_say() -> None:
    """Else: python benchmarks/table.py"""
    assert [path for path, text in table.made() if path.read_text(encoding="utf-8") != text] == []


def test_a_row_of_another_machine_than_the_tables_names_it() -> None:
    usual = "AMD EPYC (avx2)"
    assert f'Measured on 2 cores of "{usual}"' in table.README.read_text(encoding="utf-8")
    for row in findings.FINDINGS:
        for name in re.findall(r"{(\w+)\[", row.told):
            processor = json.loads((findings.RESULTS / findings.FILES[name]).read_text()).get("processor", usual)
            assert processor == usual or row.made_by == "the same" or f"{{{name}[processor]}}" in row.made_by, row


def test_the_index_of_results_has_a_line_for_each_folder() -> None:
    index = (findings.RESULTS / "README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in findings.RESULTS.iterdir() if path.is_dir() and f"| [{path.name}](" not in index
    ] == []
