"""ONNX Runtime for browsers, as the user's own npm fetches it: once, kept, and known by the SHA-256 of its files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vitascope.cache import cache_folder
from vitascope.errors import ConfigError
from vitascope.whole import written_whole
from vitascope.wording import reason

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_SCRIPT, _WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_SHA256 = {
    _SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    _WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Files of the package's dist/ → SHA-256 at that version: nothing else is run in anybody's browser."""
_PATIENCE = 900  # seconds for npm


@dataclass(frozen=True, kw_only=True)
class BrowserRuntime:
    """What a page needs to compute a model."""

    script: bytes
    """A JavaScript module."""
    wasm: bytes
    """WebAssembly, which the module runs."""


def browser_runtime(given: str | Path | None = None) -> BrowserRuntime:
    """From `given`, the package as folder or .tgz; else from the cache folder, into which npm brings it.

    Raises `ConfigError` where it cannot be had, or is another version.
    """
    if given is not None:
        return _checked(_read(Path(given)), f"{given}")
    kept = cache_folder() / f"{PACKAGE}-{VERSION}"
    try:
        return _checked(_read(kept), str(kept))
    except ConfigError:  # not there yet, or damaged
        found = _fetched()
    runtime = _checked(found, f"what npm fetched as {PACKAGE}@{VERSION}")
    try:
        for name, content in found.items():
            with written_whole(kept / name) as temporary:
                temporary.write_bytes(content)
    except OSError:  # then it is fetched again next time
        pass
    return runtime


def licences() -> dict[str, str]:
    """Name → text of the licence and of third parties' notices, which the Python package of ONNX Runtime holds."""
    folder = files("onnxruntime")
    return {name: (folder / name).read_text("utf-8") for name in ("LICENSE", "ThirdPartyNotices.txt")}


def _checked(found: dict[str, bytes], where: str) -> BrowserRuntime:
    for name, expected in _SHA256.items():
        if hashlib.sha256(found[name]).hexdigest() != expected:
            raise ConfigError(
                f"{name} of {where} is not that of {PACKAGE} {VERSION}; `npm pack {PACKAGE}@{VERSION}` brings it"
            )
    return BrowserRuntime(script=found[_SCRIPT], wasm=found[_WASM])


def _read(place: Path) -> dict[str, bytes]:
    """The files out of a folder (the package, its dist/, or what has it in node_modules/) or a .tgz."""
    remedy = f"give the package {PACKAGE} as a folder or as the .tgz that `npm pack {PACKAGE}@{VERSION}` writes"
    try:
        if place.is_file():
            with tarfile.open(place, "r:gz") as packed:
                members = {name: packed.extractfile(f"package/dist/{name}") for name in _SHA256}
                return {name: member.read() for name, member in members.items() if member is not None}
        inside = (place, place / "dist", place / PACKAGE / "dist", place / "node_modules" / PACKAGE / "dist")
        folder = next((each for each in inside if (each / _WASM).is_file()), place)
        return {name: (folder / name).read_bytes() for name in _SHA256}
    except (OSError, KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        raise ConfigError(f"{place} cannot be read ({reason(error)}); {remedy}") from error


def _fetched() -> dict[str, bytes]:
    """By `npm pack`, from the registry that the user's npm is set to; no code of the package is run."""
    npm = shutil.which("npm")
    remedy = f"give --runtime FILE, which `npm pack {PACKAGE}@{VERSION}` writes on a machine that has npm and a network"
    if npm is None:
        raise ConfigError(f"a page needs {PACKAGE} {VERSION}, which npm brings, and there is no npm here; {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", folder]
        try:
            # In a folder of its own: a project's settings, where the command happens to run, are not the user's.
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"npm could not fetch {PACKAGE}@{VERSION} ({reason(error)}); {remedy}") from error
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if "error" in line]
            why = "; ".join(said[:2]) or f"exit code {done.returncode}"
            raise ConfigError(f"npm could not fetch {PACKAGE}@{VERSION} ({why[:200]}); {remedy}")
        return _read(packed)
