"""May this be written here, and then wholly or not at all: for every command and function that leaves something behind.

Everything is written under a temporary name beside the target, forced to the disk and then renamed. A folder
cannot replace another in one step: the old one steps aside first, and whoever reads in that instant, or after a
kill in that instant, is sent to it by `settled`.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vitascope.errors import CheckpointError, OutputError
from vitascope.file_lock import take
from vitascope.lock import LOCK
from vitascope.whole import force_to_disk, umask, written_whole
from vitascope.wording import reason

FILE_MARK = b"vitascope"
"""In the header of a safetensors file of ours, and the comment that ends a .npz or .pth."""
PAGE_MARK = b'id="data-classifier"'
"""In the HTML of a classifier as a page, alone or in its folder."""
SETTLED = r"model\.safetensors|config\.json|preprocessor\.json|README\.md|shown\.bin"
"""What `store.py` writes."""
_PEOPLE = r"report\.html|answers\.csv|examples\.json"
_RUN = (
    rf"(config\.yaml|(labels|environment|results)\.json|(metrics|speed)\.jsonl|curves\.png|{_PEOPLE}"
    r"|tensorboard/events\.[^/]+"
    r"|checkpoints/(best\.safetensors|step-\d+/((model|optimizer|ema)\.safetensors|counters\.json))"
    rf"|model/({SETTLED}))"
)
_TAUGHT = rf"(results|environment)\.json|taught\.safetensors|{_PEOPLE}|model/({SETTLED})"
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
        ("config.json", b'"vitascope":', SETTLED),
        ("config.json", b'"written_by": "vitascope', r"model\.safetensors|config\.json|preprocessor_config\.json"),
    ),
    "export": (
        ("export.json", b'"differences"|"same_label"', r"model\.(onnx(\.data)?|xml|bin|pt2)|[a-z]+\.json|shown\.bin"),
    ),
    "page": (("index.html", PAGE_MARK, r"index\.html|parts/[a-z]+-\d+\.js|licences/[\w-]+\.txt"),),
    "report": (("inspect.html", b"vitascope", rf"(inspect\.html|compared\.json)|([^/]+/)?({_REPORT})"),),
    "study": (
        ("study.json", b'"vitascope"', r"study\.json|measures\.csv|(inductive_bias|image_sizes)\.(png|svg)|README\.md"),
    ),
    "teaching": (("results.json", b'"taught_sha256"', _TAUGHT),),
    "run": (("config.yaml", b"eval_every:", rf"(sweep/[^/]+/)?{_RUN}|sweep/results\.json"),),
    "training": (("train.json", b'"chosen"', rf"train\.json|(taught/)?({_TAUGHT})|finetuned/{_RUN}"),),
}
"""What is written as folders: the file by which each is known, what that holds, and the names of all that belongs."""
_BEGUN = {"run": r"labels\.json|environment\.json|sweep|\.lock|\..+\.tmp", "training": r"\.lock|\..+\.tmp"}
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
    checkpoint or page in one file), finished or just begun, holds nothing else, and neither is, holds nor lies in one
    of `sources`; who has sources does not replace the model of a run either. None is for what we alone write to.
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
    if not kinds and not (path.is_file() and _is_marked(path, what)):
        told = f"{path} is not {'an' if what == 'export' else 'a'} {what}"
        raise OutputError(f"{told}, so --overwrite would delete what is not ours; choose another name")
    _refuse_strangers(path, kinds)
    if sources and (whole := _belongs_to(path, what)):
        raise OutputError(f"{path} is the model of the {whole} in {path.resolve().parent}; choose another name")
    for source in sources:
        place, read = path.resolve(), Path(source).resolve()
        if not read.exists():  # a name
            continue
        if place == read or place in read.parents or read in place.parents:
            raise OutputError(f"{path} is, holds or lies in {source}, which is read from; choose another name")


def refuse_strangers(folder: Path, what: str) -> None:
    """Refuses with `OutputError` a folder that holds more than a `what` of `KINDS` and what a killed writer left."""
    _refuse_strangers(folder, KINDS[what])


def _belongs_to(path: Path, what: str) -> str:
    """What a checkpoint is a part of, such as a run, or ""."""
    if what == "checkpoint":
        place = path.resolve()
        for whole, kinds in KINDS.items():
            for marker, text, belonging in kinds:
                if _holds(place.parent / marker, text) and re.fullmatch(belonging, f"{place.name}/config.json"):
                    return whole
    return ""


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


def _is_marked(path: Path, what: str) -> bool:
    """Whether it is a `what` in one file."""
    if what == "page":
        return _holds(path, PAGE_MARK)
    if what != "checkpoint":
        return False
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < _LARGEST else b""
        file.seek(-min(len(FILE_MARK), path.stat().st_size), os.SEEK_END)
        return b'"%s"' % FILE_MARK in header or file.read() == FILE_MARK


@contextmanager
def atomic_folder(path: Path, *, what: str | None = None, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder that becomes `path`, a `what`, when the block ends without an error.

    Whatever goes wrong, `path` is as it was and the temporary folder is gone; only a killed process leaves one
    behind, which the next writer of `path` removes. What is there stays as `check_output` decides; a link stays one.
    Raises `CheckpointError` (exists, disk full, not permitted).
    """
    with _place_for(path, what, overwrite, folder=True) as path:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            temporary.chmod(0o777 & ~umask())
            with (temporary / LOCK).open("a") as lock:
                take(lock, threads=True)
                yield temporary
            (temporary / LOCK).unlink()
            for root, _, names in os.walk(temporary, topdown=False):
                for name in (*names, "."):
                    force_to_disk(Path(root, name))
            if path.is_dir() and any(path.iterdir()):
                check_output(path, what, overwrite=overwrite)
                path.rename(_aside(path))
            elif path.is_dir():
                path.rmdir()
            temporary.rename(path)
            force_to_disk(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            _put_back(path)
            raise
        shutil.rmtree(_aside(path), ignore_errors=True)


@contextmanager
def atomic_file(path: Path, *, what: str | None = None, overwrite: bool = True) -> Iterator[Path]:
    """Yields the name of a file to write that becomes `path` when the block ends without an error.

    A killed process leaves the old file, or none, and a temporary file that the next writer removes. Otherwise as
    `atomic_folder`.
    """
    with _place_for(path, what, overwrite, folder=False) as path, written_whole(path) as temporary:
        yield temporary


def settled(path: Path) -> Path:
    """Where the folder `path` is now: itself, or the old one put aside by a writer that has not finished."""
    return path if os.path.exists(path) or not os.path.exists(_aside(path)) else _aside(path)


@contextmanager
def _place_for(path: Path, what: str | None, overwrite: bool, *, folder: bool) -> Iterator[Path]:
    """Yields `path` with its own link followed, so that the link stays, once it may be written; names it in errors."""
    path = Path(os.path.realpath(path) if path.is_symlink() else os.path.abspath(path))
    try:
        if folder:
            _put_back(path)
        if path.exists() and path.is_dir() != folder:
            there = "file" if folder else "folder"
            raise OutputError(f"{path}: there is a {there} of this name already; choose another name")
        check_output(path, what, overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(path)
        yield path
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space and save again" if full else "choose a place that can be written"
        why = "disk full" if full else reason(error)
        raise CheckpointError(f"{path}: cannot be written ({why}); {remedy}. What was there is unchanged") from error


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _put_back(path: Path) -> None:
    if not path.exists() and _aside(path).exists():  # a writer was stopped between its two renames
        _aside(path).rename(path)


def _clear_remains(path: Path) -> None:
    # What killed writers left; one that is at work has its lock.
    for remains in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if remains.is_dir() and not remains.is_symlink():
            with suppress(FileNotFoundError), (remains / LOCK).open("a") as lock:
                if not take(lock, threads=True):
                    raise OutputError(f"another process is writing {path}; wait for it, or choose another name")
            shutil.rmtree(remains, ignore_errors=True)
        else:
            with suppress(OSError):
                remains.unlink()
    if path.exists():
        shutil.rmtree(_aside(path), ignore_errors=True)
