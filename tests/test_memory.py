"""What may be taken: of the machine, and of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitascope import memory


def test_free_memory_is_what_the_system_says() -> None:
    assert memory.free_memory() > 2**24


@pytest.mark.parametrize(("limit", "left"), [("1000000\n", 300_000), ("500000\n", 0), ("max\n", None)])
def test_free_memory_ends_where_the_containers_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, left: int | None
) -> None:
    for name, text in (("max", limit), ("current", "800000\n"), ("stat", "anon 5\ninactive_file 100000\nfile 7\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    found = memory.free_memory()
    assert found == left if left is not None else found > 2**24
    assert memory.total_memory() == int(limit) if left is not None else memory.total_memory() > 2**24
