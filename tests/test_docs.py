"""Python in the documentation runs as it stands, and gives what stands behind the arrows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["step_by_step"])
def test_blocks_give_what_they_say(name: str) -> None:
    space: dict[str, Any] = {}
    arrows = 0
    for block in blocks(DOCS / f"{name}.md"):
        statements: list[str] = []
        for line in block.splitlines():
            said, arrow, expected = line.partition("  # → ")
            if not arrow:
                statements.append(line)
                continue
            exec("\n".join(statements), space)
            statements = []
            assert repr(eval(said, space)) == expected, line
            arrows += 1
        exec("\n".join(statements), space)
    assert arrows > 10
