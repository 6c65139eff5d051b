"""May this be written here? One decision for every command and function that leaves something behind."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vitascope.errors import OutputError

FILE_MARK = b"vitascope"
"""In the header of a safetensors file of ours, and the comment that ends a .npz or .pth."""
_SETTLED = r"model\.safetensors|config\.json|preprocessor\.json|README\.md|shown\.bin"
_RUN = (
    r"(config\.yaml|(labels|environment|results)\.json|(metrics|speed)\.jsonl|curves\.png|tensorboard/events\.[^/]+"
    r"|checkpoints/(best\.safetensors|step-\d+/((model|optimizer|ema)\.safetensors|counters\.json))"
    rf"|model/({_SETTLED}))"
)
_REPORT = (
    r"report(\.schema)?\.json"
    r"|figures/(filters|position_similarity|attention_distance|attended_share)\.(png|svg)"
    r"|tables/(heads|(mean_)?token_norms|filters|position_similarity|rollout|class_attention|attention_\w+_layer"
    r"|logit_lens)\.csv"
    r"|images/\d+-[^/]*/(rollout|class_attention|attention_\w+_layer|token_norms|logit_lens)\.(png|svg)"
)
Kind = tuple[str, bytes, str]
KINDS: dict[str, tuple[Kind, ...]] = {
    "checkpoint": (
        ("config.json", b'"vitascope":', _SETTLED),
        ("config.json", b'"written_by": "vitascope', r"model\.safetensors|config\.json|preprocessor_config\.json"),
    ),
    "export": (
        ("export.json", b'"differences"|"same_label"', r"model\.(onnx(\.data)?|xml|bin)|[a-z]+\.json|shown\.bin"),
    ),
    "report": (("inspect.html", b"vitascope", rf"inspect\.html|([^/]+/)?({_REPORT})"),),
    "study": (("study.json", b'"vitascope"', r"study\.json|measures\.csv|inductive_bias\.(png|svg)|README\.md"),),
    "run": (("config.yaml", b"eval_every:", rf"(sweep/[^/]+/)?{_RUN}|sweep/results\.json"),),
}
"""What is written as folders: the file by which each is known, what that holds, and the names of all that belongs."""
_BEGUN = {"run": r"labels\.json|environment\.json|sweep|\.lock|\..+\.tmp"}
"""What a start leaves that was killed before it wrote the file by which its folder is known: it may start again."""
_REMAINS = re.compile(r"\..+\.(tmp|old)|\.lock")  # of killed writers, and what keeps others out (`lock.py`)
_LARGEST = 100_000_000  # of what is searched for a mark, in bytes


def check_output(
    path: str | Path,
    what: str | None,
    *,
    overwrite: bool = False,
    sources: Sequence[str | Path] = (),
    remedy: str = "choose a name that is not there already, or give --overwrite",
) -> None:
    """Refuses with `OutputError` a place that cannot be written, or where something is that must stay.

    What is there is replaced with `overwrite` alone, and only where it is an earlier `what` (of `KINDS`, or a
    checkpoint in one file), finished or just begun, holds nothing else, and neither is, holds nor lies in one of
    `sources`. None is for what we alone write to.
    """
    path = Path(path)
    check_writable(path)
    begun = path.is_dir() and all(re.fullmatch(_BEGUN.get(what or "", ""), p.name) for p in path.iterdir())
    if not path.exists() or (begun and not overwrite):
        return
    if not overwrite:
        raise OutputError(f"{path} exists; {remedy}")
    if what is None:
        return
    kinds = [kind for kind in KINDS[what] if begun or _holds(path / kind[0], kind[1])]
    if not kinds and not (what == "checkpoint" and path.is_file() and _is_marked(path)):
        told = f"{path} is not {'an' if what == 'export' else 'a'} {what}"
        raise OutputError(f"{told}, so --overwrite would delete what is not ours; choose another name")
    _refuse_strangers(path, kinds)
    for source in sources:
        place, read = path.resolve(), Path(source).resolve()
        if place == read or place in read.parents or read in place.parents:
            raise OutputError(f"{path} is, holds or lies in {source}, which is read from; choose another name")


def refuse_strangers(folder: Path, what: str) -> None:
    """Refuses with `OutputError` a folder that holds more than a `what` of `KINDS` and what a killed writer left."""
    _refuse_strangers(folder, KINDS[what])


def _refuse_strangers(folder: Path, kinds: Sequence[Kind]) -> None:
    for root, folders, files in os.walk(folder):
        for name in files + [name for name in folders if Path(root, name).is_symlink()]:
            place = Path(root, name).relative_to(folder)
            known = any(re.fullmatch(kind[2], place.as_posix()) for kind in kinds)
            if not known and not any(map(_REMAINS.fullmatch, place.parts)):
                told = f"{folder} holds {place.as_posix()}, which --overwrite would delete"
                raise OutputError(f"{told}; move it, or choose another name")


def check_writable(path: str | Path) -> None:
    """Refuses with `OutputError` a place where nothing can be written, by trying; nothing is left behind."""
    if any(ord(letter) < 32 for letter in os.fspath(path)):
        raise OutputError(f"{os.fspath(path)!r} has a line break or the like in its name; choose another name")
    path = Path(os.path.abspath(path))
    try:
        with suppress(FileNotFoundError):
            os.lstat(path.parent / f".{path.name}.12345678.tmp")  # a name too long, a file as a folder
        if path.is_symlink() and not path.exists():  # such as to a disk that is not there today
            raise OutputError(f"{path} is a link to nowhere ({os.readlink(path)}); make that, or choose another place")
        folder = path if path.is_dir() else path.parent
        while not os.path.lexists(folder):
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        shown = str(path) if len(str(path)) < 200 else f"{str(path)[:100]}…"
        raise OutputError(f"{shown} cannot be written ({why}); choose another place") from error


def _holds(marker: Path, text: bytes) -> bool:
    try:
        with marker.open("rb") as file:
            return re.search(text, file.read(_LARGEST)) is not None
    except OSError:
        return False


def _is_marked(path: Path) -> bool:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < _LARGEST else b""
        file.seek(-min(len(FILE_MARK), path.stat().st_size), os.SEEK_END)
        return b'"%s"' % FILE_MARK in header or file.read() == FILE_MARK
