"""Who teaches what: nobody's lesson is another's, each is bounded, and idle ones are forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning import Tab, of_class
from serving import Served, error_of, png, served
from tiny import image_folder


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(teach=True, session_bytes=200_000) as running:
        yield running


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("images"), 24)


@pytest.fixture
def tab(server: Served) -> Iterator[Tab]:
    mine = Tab(server)
    yield mine
    assert mine.client.delete(mine.at).status_code == 200


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
