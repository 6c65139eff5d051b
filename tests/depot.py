"""A server on the loopback that speaks the Hugging Face Hub's HTTP and Google's storage's, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from hub_uploads import answer

NAME = "someone/tiny-vit"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLD = "fedcba9876543210fedcba9876543210fedcba98"


@dataclass
class Depot:
    """What it holds, how it misbehaves, and what was asked of it."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """OWNER/NAME → file → content, at `COMMIT`, which is main; also OWNER/NAME@REVISION."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """BUCKET/FILE → content."""
    gated: set[str] = field(default_factory=set)
    """Repositories for which one must have accepted terms."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Repositories' old names → new ones, to which is redirected."""
    status: int = 0
    """Answer everything with this."""
    cut: list[int] = field(default_factory=list)
    """After so many bytes of a body the connection ends; one entry for each of the next bodies above 1,000 bytes."""
    knows_ranges: bool = True
    """Whether a part of a file can be asked for."""
    spoil: bool = False
    """Send other bytes than the sums say."""
    away: str = ""
    """Redirect large files to this address."""
    said: dict[str, str] = field(default_factory=dict)
    """Headers that say something else, where an answer has them."""
    listed: Any = None
    """What is said to be in every repository; None for the truth."""
    slow: float = 0.0
    """Seconds before each answer."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, range of every request."""
    later: dict[str, bytes] = field(default_factory=dict)
    """BUCKET/FILE → what is there after the first answer."""
    statuses: list[int] = field(default_factory=list)
    """Of every answer."""
    writers: dict[str, set[str]] = field(default_factory=dict)
    """Token → owners whose repositories it may write."""
    private: dict[str, bool] = field(default_factory=dict)
    """Of repositories that were made here."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256, until a commit names them."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Path of an upload → the status it gets."""
    url: str = ""
    """Where it listens."""

    def add(self, repository: str, folder: Path) -> dict[str, bytes]:
        """All files of a folder, and something that must not be fetched."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories[repository] = {**files, "modeling.py": b"raise SystemExit", "README.md": b"# A model"}
        return self.repositories[repository]

    def fetched(self, end: str = "") -> list[str]:
        """Names of the files whose content was sent, in order."""
        paths = [path for method, path, _ in self.asked if method == "GET" and "/api/" not in path]
        return [name for path in paths if (name := path.rpartition("/")[2]).endswith(end)]


@contextmanager
def serving(depot: Depot) -> Iterator[Depot]:
    """Answers at `depot.url` until the end of the block."""

    class Handler(_Handler):
        held = depot

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    depot.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield depot
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stand_in(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is fetched in this process comes from `url` into `cache`."""
    from huggingface_hub import constants

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setenv("VITASCOPE_CACHE", str(cache / "vitascope"))
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that has gone is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    held: Depot
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def _take(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.held.asked.append((self.command, path, ""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, headers, told = answer(self.held, self.command, path, token, body, COMMIT)
        self._send(status, {"Content-Type": "application/json", **headers}, json.dumps(told).encode())

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.held.asked.append((self.command, path, self.headers.get("Range", "")))
        time.sleep(self.held.slow)
        if self.held.status:
            self._send(self.held.status)
        elif old := next((old for old in self.held.renamed if f"/{old}" in path), None):
            self._send(307, {"Location": self.path.replace(old, self.held.renamed[old])})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/(.+))?", path):
            self._describe(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups())
        elif path.startswith("/away/"):
            self._body(self._blob(path.removeprefix("/away/")), {})
        else:
            self._object(path.removeprefix("/"))

    def _files(self, repository: str, revision: str) -> tuple[dict[str, bytes], str] | None:
        """The files of a repository and the commit, or None once it was said what is wrong."""
        known, all = self.held.repositories, {"main": COMMIT, COMMIT: COMMIT, "v1": OLD, OLD: OLD}
        if repository not in known:
            self._send(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif repository in self.held.gated:
            self._send(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {repository} is restricted"})
        elif revision not in all or (all[revision] == OLD and f"{repository}@v1" not in known):
            self._send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
        else:
            return known[repository if all[revision] == COMMIT else f"{repository}@v1"], all[revision]
        return None

    def _describe(self, repository: str, revision: str) -> None:
        if (found := self._files(repository, revision)) is None:
            return
        files, commit = found
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": _git(content),
                "lfs": {"sha256": _sha(content), "size": len(content), "pointerSize": 130} if _large(name) else None,
            }
            for name, content in files.items()
        ]
        told = {"_id": "1", "id": repository, "modelId": repository, "sha": commit, "siblings": siblings, "tags": []}
        told |= {} if self.held.listed is None else {"siblings": self.held.listed}
        body = json.dumps({**told, "private": False, "downloads": 0, "likes": 0}).encode()
        self._send(200, {"Content-Type": "application/json"}, body)

    def _file(self, repository: str, revision: str, name: str) -> None:
        if (found := self._files(repository, revision)) is None:
            return
        files, commit = found
        if name not in files:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        content, headers = files[name], {"X-Repo-Commit": commit}
        if _large(name):
            headers |= {"X-Linked-Etag": f'"{_sha(content)}"', "X-Linked-Size": str(len(content))}
            if self.held.away:
                away = f"{self.held.away}/away/{_sha(content)}"
                self._send(302, {**headers, "Location": away, "ETag": '"of-the-redirect"'})
                return
        self._body(content, {**headers, "ETag": f'"{_sha(content) if _large(name) else _git(content)}"'})

    def _blob(self, sha256: str) -> bytes:
        everything = (content for files in self.held.repositories.values() for content in files.values())
        return next(content for content in everything if _sha(content) == sha256)

    def _object(self, name: str) -> None:
        if name not in self.held.objects:
            self._send(404)
            return
        md5 = hashlib.md5(self.held.objects[name], usedforsecurity=False)
        sums = f"crc32c=AAAAAA==,md5={base64.b64encode(md5.digest()).decode()}"
        self._body(self.held.objects[name], {"x-goog-hash": sums, "ETag": f'"{md5.hexdigest()}"'})
        self.held.objects[name] = self.held.later.get(name, self.held.objects[name])

    def _body(self, content: bytes, headers: dict[str, str]) -> None:
        same = self.headers.get("If-Range", headers.get("ETag")) == headers.get("ETag")
        asked = self.headers.get("Range", "") if self.held.knows_ranges and same else ""
        first = re.fullmatch(r"bytes=(\d+)-", asked)
        start = int(first[1]) if first else 0
        if first:
            headers |= {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        if self.held.spoil and len(content) > 1000:
            content = content[:-1] + bytes([content[-1] ^ 1])
        part = content[start:]
        whole = len(part)
        if self.command == "GET" and self.held.cut and whole > 1000:
            part = part[: self.held.cut.pop(0)]
        self._send(206 if first else 200, {**headers, "Accept-Ranges": "bytes"}, part, whole)

    def _send(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", length: int = -1) -> None:
        self.held.statuses.append(status)
        self.send_response(status)
        headers = {name: self.held.said.get(name, value) for name, value in (headers or {}).items()}
        for name, value in {**headers, "Content-Length": str(len(body) if length < 0 else length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.close_connection = self.close_connection or 0 <= len(body) < length


def _large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".npz", ".pth"))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
