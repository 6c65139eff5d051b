"""What the page for teaching does over HTTP, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving import Served

CLASSES = ("ant", "bee", "cat")
"""Folders of `tiny.image_folder`."""


class Tab:
    """What the page does over HTTP."""

    def __init__(self, server: Served) -> None:
        self.client = server.client
        self.state = self.client.post("/api/teach").json()
        self.at = f"/api/teach/{self.state['id']}"

    def add(self, name: str, files: list[tuple[str, bytes]], **query: Any) -> dict[str, Any]:
        form = [("image", file) for file in files]
        answer = self.client.post(f"{self.at}/photos", params={"class": name, **query}, files=form)
        assert answer.status_code == 200, answer.text
        self.state = answer.json()
        return self.state

    def change(self, **asked: Any) -> dict[str, Any]:
        answer = self.client.post(f"{self.at}/change", json={"version": self.state["version"], **asked})
        assert answer.status_code == 200, answer.text
        self.state = answer.json()
        return self.state

    def get(self, what: str = "") -> Any:
        return self.client.get(self.at + what)

    def counts(self) -> dict[str, int]:
        classes = self.state["classes"]
        return {c: sum(p["class"] == i for p in self.state["photos"]) for i, c in enumerate(classes)}


def of_class(images: Path, name: str) -> list[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in sorted((images / name).iterdir())]


def teach_all(tab: Tab, images: Path) -> None:
    for name in CLASSES:
        tab.add(name, of_class(images, name))
