"""`vitascope doctor`."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from vitascope.cache import cache_folder
from vitascope.cli.console import Console
from vitascope.memory import free_memory, total_memory
from vitascope.optional import EXTRAS, install, state
from vitascope.version import __version__, source_commit
from vitascope.wording import memory_text, reason

_LIBRARIES = ("torch", "numpy", "Pillow", "safetensors", "pyarrow", "huggingface_hub", "scikit-learn")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def run(console: Console) -> dict[str, Any]:
    """Looks at what vitascope runs on, and says what is missing, what that is for, and what is broken."""
    problems: list[str] = []
    notes: list[str] = []
    found = {
        "versions": _versions(problems),
        "processor": _processor(notes),
        "memory": {"total": _finite(total_memory()), "free": _finite(free_memory())},
        "caches": _caches(problems),
        "network": _network(),
        "start": _start(problems),
    }
    extras = {extra: _extra(extra, problems) for extra in EXTRAS}
    console.table(f"vitascope {__version__}", ["what", "here"], _rows(found))
    console.table(
        "extras, of which none is needed for a first run",
        ["extra", "for", "state"],
        [[extra, EXTRAS[extra].what, told["state"]] for extra, told in extras.items()],
    )
    missing = [extra for extra, told in extras.items() if told["state"] == "missing"]
    if missing:
        console.tell(f"to add what is missing, or some of it: {install(*missing)}")
    for note in notes:
        console.tell(f"note: {note}")
    for problem in problems:
        console.tell(f"broken: {problem}")
    if not problems:
        console.tell("nothing is broken")
    return {**found, "extras": extras, "notes": notes, "problems": problems, "exit_code": 2 if problems else 0}


def _rows(found: dict[str, Any]) -> list[list[str]]:
    versions, processor, memory = found["versions"], found["processor"], found["memory"]
    commit = versions["commit"]
    libraries = ", ".join(f"{name} {versions[name]}" for name in _LIBRARIES)
    rows = [
        ["commit", f"{commit['commit'][:12]}{', changed since' if commit['dirty'] else ''}"] if commit else [],
        ["Python", f"{versions['Python']} ({sys.executable})"],
        ["libraries", libraries],
        ["processor", processor["name"]],
        ["threads", f"{processor['threads']} of {processor['cores']} cores"],
        ["fast here", processor["fast"]],
        ["GPU", processor["gpu"] or "none that PyTorch can use; everything runs on the processor"],
        ["compiler", processor["compiler"] or "none; --compile and --engine compiled need one (g++ or clang++)"],
        ["memory", f"{_size(memory['free'])} free of {_size(memory['total'])}"],
        ["network", found["network"]["told"]],
        ["start", found["start"]],
    ]
    for place, cache in found["caches"].items():
        parts = ", ".join(f"{name} {memory_text(size)}" for name, size in cache["holds"].items() if size >= _TOLD)
        inside = f"{parts or 'empty'}; {memory_text(cache['free'])} free on its disk"
        rows.append([f"cache, {place}", f"{cache['folder']}: {inside}"])
    return [row for row in rows if row]


def _versions(problems: list[str]) -> dict[str, Any]:
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            libraries[name] = "missing"
            problems.append(f"{name} is not installed; install it: pip install {name}")
    python = ".".join(map(str, sys.version_info[:3]))
    return {"vitascope": __version__, "commit": source_commit(), "Python": python, **libraries}


def _processor(notes: list[str]) -> dict[str, Any]:
    import torch

    from vitascope.precision import bfloat16_gain, processor, resolve_precision

    threads, cores = torch.get_num_threads(), _cores()
    if threads > cores:
        notes.append(
            f"{threads} threads share {cores} cores, which is slower than {cores}: set OMP_NUM_THREADS={cores}"
        )
    gain = bfloat16_gain()
    chosen = resolve_precision("auto", torch.device("cpu"))
    gpu = None
    if torch.cuda.is_available():
        known = torch.cuda.get_device_properties(0)
        gpu = f"{torch.cuda.device_count()} × {known.name}, {memory_text(known.total_memory)}"
    return {
        "name": processor(),
        "threads": threads,
        "cores": cores,
        "bfloat16_gain": gain,
        "precision": chosen,
        "fast": f"{chosen}; bfloat16 products take {1 / max(gain, 1e-3):.2g} times as long as float32's",
        "gpu": gpu,
        "compiler": next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None),
    }


def _cores() -> int:
    """Those that this process may use: its container may have a share of them only."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return min(cores, max(round(int(quota) / int(period)), 1))
    except (OSError, ValueError):  # no such limit
        return cores


def _caches(problems: list[str]) -> dict[str, Any]:
    from huggingface_hub import constants

    folders = {"vitascope": (cache_folder(), "VITASCOPE_CACHE"), "Hub": (Path(constants.HF_HUB_CACHE), "HF_HUB_CACHE")}
    found = {}
    for name, (folder, variable) in folders.items():
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            problems.append(
                f"{there} cannot be written, where {name} keeps what it fetches; set {variable} to another folder"
            )
        holds = {part.name: _bytes_in(part) for part in sorted(folder.iterdir())} if folder.is_dir() else {}
        largest = sorted(holds, key=lambda part: -holds[part])[:_PARTS]
        rest = sum(size for part, size in holds.items() if part not in largest)
        told = {part: holds[part] for part in largest} | ({"others": rest} if len(holds) > _PARTS else {})
        found[name] = {"folder": str(folder), "holds": told, "free": shutil.disk_usage(there).free}
    return found


_PARTS = 5
"""Folders of a cache that are told, the largest."""
_TOLD = 500_000
"""Bytes from which on a person is told of one."""


def _bytes_in(place: Path) -> int:
    if place.is_file():
        return place.lstat().st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(place) for name in names)


def _network() -> dict[str, Any]:
    from huggingface_hub import constants

    offline = bool(constants.HF_HUB_OFFLINE)
    told = (
        "off, by HF_HUB_OFFLINE: names are looked for in the caches alone" if offline else "asked when a name is given"
    )
    return {"offline": offline, "told": told}


def _start(problems: list[str]) -> str:
    """Whether the package's own start can be loaded and computes."""
    try:
        import torch

        from vitascope.checkpoints.load import load

        checkpoint = load("start")
        with torch.inference_mode():
            seen = checkpoint.model.features(torch.zeros(1, 3, *checkpoint.preprocess.size))
        if bool(seen.isfinite().all()):
            return "the package's own model loads and computes"
        why = "its features are no numbers"
    except Exception as error:
        why = reason(error)
    problems.append(f"the package's own model does not work ({why}); install vitascope again")
    return f"does not work: {why}"


def _extra(extra: str, problems: list[str]) -> dict[str, Any]:
    told = state(extra)
    if told.startswith("broken"):
        problems.append(f"{extra}: {told.removeprefix('broken: ')}; run: {install(extra)} --upgrade")
    return {"for": EXTRAS[extra].what, "state": told, "command": install(extra)}


def _finite(size: float) -> int | None:
    return int(size) if size < float("inf") else None


def _size(size: int | None) -> str:
    return "unknown" if size is None else memory_text(size)
