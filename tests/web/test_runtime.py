"""ONNX Runtime for browsers: from npm once, from a package that is given, and never anything else."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from vitascope.cache import cache_folder
from vitascope.errors import ConfigError
from vitascope.web import runtime
from vitascope.web.runtime import browser_runtime

CONTENT = {"ort.wasm.bundle.min.mjs": b"script", "ort-wasm-simd-threaded.wasm": b"wasm"}


@pytest.fixture(autouse=True)
def known(cold_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other files than the real ones, which are large."""
    import hashlib

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(runtime, "_SHA256", sums)


def packed(path: Path, content: dict[str, bytes] = CONTENT) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in content.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """In place of npm, a script that counts its calls."""
    folder.mkdir()
    script = folder / "npm"
    script.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nopen({str(folder / 'calls')!r}, 'a').write('.')\n{does}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(os.name == "nt", reason="a script stands for npm")
def test_npm_brings_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = packed(tmp_path / "held.tgz")
    npm(tmp_path / "bin", monkeypatch, f"shutil.copy({str(package)!r}, sys.argv[-1] + '/onnxruntime-web-1.30.0.tgz')")
    for _ in range(2):
        assert browser_runtime().wasm == b"wasm"
    assert (tmp_path / "bin/calls").read_text() == "."
    kept = next(cache_folder().glob("onnxruntime-web-*")) / "ort-wasm-simd-threaded.wasm"
    kept.write_bytes(b"damaged")
    assert browser_runtime().wasm == b"wasm"
    assert kept.read_bytes() == b"wasm"
    assert (tmp_path / "bin/calls").read_text() == ".."


@pytest.mark.skipif(os.name == "nt", reason="a script stands for npm")
def test_without_npm_or_network_it_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path / "bin", monkeypatch, "sys.exit('npm error network no route\\nnpm error a log is there')")
    with pytest.raises(ConfigError, match=r"could not fetch .*no route.*give --runtime FILE"):
        browser_runtime()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no npm here; give --runtime FILE"):
        browser_runtime()
    assert not cache_folder().exists()


def test_a_package_is_taken_as_file_or_folder(tmp_path: Path) -> None:
    assert browser_runtime(packed(tmp_path / "package.tgz")).script == b"script"
    for inside in ("", "dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist"):
        folder = tmp_path / f"as {inside.count('/')}{len(inside)}"
        (folder / inside).mkdir(parents=True)
        for name, content in CONTENT.items():
            (folder / inside / name).write_bytes(content)
        assert browser_runtime(folder).wasm == b"wasm"


def test_what_is_no_such_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not that of onnxruntime-web 1\.\d+\.\d+; `npm pack"):
        browser_runtime(packed(tmp_path / "other.tgz", {**CONTENT, "ort-wasm-simd-threaded.wasm": b"another"}))
    (tmp_path / "text.tgz").write_text("text")
    packed(tmp_path / "less.tgz", {"README.md": b""})
    flipped = bytearray(packed(tmp_path / "damaged.tgz").read_bytes())
    flipped[20:60] = bytes(40)
    (tmp_path / "damaged.tgz").write_bytes(flipped)
    for name in ("text.tgz", "less.tgz", "damaged.tgz", "absent.tgz", "."):
        with pytest.raises(ConfigError, match=r"cannot be read .*give the package onnxruntime-web"):
            browser_runtime(tmp_path / name)
