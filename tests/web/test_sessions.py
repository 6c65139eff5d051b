"""Who teaches what: nobody's lesson is another's, each is bounded, and idle ones are forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning import Tab, of_class
from serving import Served, error_of, png, served


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(teach=True, session_bytes=200_000) as running:
        yield running


def test_nobody_reads_what_another_taught(server: Served, tab: Tab, images: Path) -> None:
    other = Tab(server)
    assert other.at != tab.at
    assert len(other.state["id"]) >= 20
    tab.add("ant", of_class(images, "ant")[:1])
    mark = tab.state["photos"][0]["picture"]
    assert other.get().json()["photos"] == []
    error_of(other.get(f"/photos/{mark}"), 404)
    for address in ("", "/lesson", "/run", f"/photos/{mark}"):
        assert "no longer held" in error_of(tab.client.get(f"/api/teach/{'A' * 24}{address}"), 404)
    other.client.delete(other.at)
    error_of(other.get(), 404)


def test_one_who_taught_too_much_is_told_and_keeps_what_there_was(server: Served, tab: Tab) -> None:
    for number in range(8):
        answer = tab.client.post(
            f"{tab.at}/photos",
            params={"class": "noise"},
            files=[("image", (f"{n}.png", png(100 * number + n))) for n in range(32)],
        )
        if answer.status_code != 200:
            break
    assert "MiB that are yours here" in error_of(answer, 413)
    session = server.service.sessions.get(tab.state["id"])
    assert session.nbytes <= 200_000
    assert len(tab.get().json()["photos"]) == 32 * number


def test_places_are_limited_unused_ones_make_room_and_idle_ones_are_forgotten(images: Path) -> None:
    with served(teach=True, sessions=2, session_idle=0.6) as small:
        one, two = Tab(small), Tab(small)
        one.add("ant", of_class(images, "ant")[:1])
        three = Tab(small)  # in the place of the second, who did nothing
        error_of(two.get(), 404)
        three.add("ant", of_class(images, "ant")[:1])
        assert "2 people teach here already" in error_of(small.client.post("/api/teach"), 503)
        time.sleep(1.4)
        assert len(small.service.sessions) == 0
        error_of(one.get(), 404)
        Tab(small)


def test_what_can_be_undone_is_bounded(server: Served, tab: Tab, images: Path) -> None:
    tab.add("0", of_class(images, "ant"))
    for number in range(60):
        tab.change(rename=str(number), to=str(number + 1))
    session = server.service.sessions.get(tab.state["id"])
    assert session.nbytes <= 200_000
    undone = 0
    while tab.state["undo"]:
        tab.change(undo=True)
        undone += 1
    assert 5 < undone < 60
    assert tab.state["classes"] == [str(60 - undone)]


@pytest.mark.parametrize("name", ["", " ", " ant", "ant ", "a" * 101, "a\nb", "\ud800"])
def test_a_class_is_called_by_something_that_can_be_read(tab: Tab, images: Path, name: str) -> None:
    tab.add("ant", of_class(images, "ant"))
    asked = json.dumps({"version": tab.state["version"], "rename": "ant", "to": name})
    error_of(tab.client.post(f"{tab.at}/change", content=asked, headers={"content-type": "application/json"}), 422)
    if name.isprintable():
        form = [("image", of_class(images, "bee")[0])]
        error_of(tab.client.post(f"{tab.at}/photos", params={"class": name}, files=form), 422)


@pytest.mark.parametrize("mark", ["0" * 16, "f" * 16, "x", "-1", "0" * 17, "..%2f..%2fmodel"])
def test_a_picture_that_is_not_there(tab: Tab, mark: str) -> None:
    error_of(tab.get(f"/photos/{mark}"), 404)
