"""Checkpoints of the Hugging Face Hub by name: which of a repository's files are fetched, and what may go wrong.

huggingface_hub fetches, into its own cache. Descriptions (JSON) and weights are taken, never code.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from vitascope.checkpoints.formats.names import WEIGHT_ENDINGS
from vitascope.checkpoints.in_folder import shards, weights_among
from vitascope.checkpoints.json_file import read_json
from vitascope.checkpoints.named import Located, UnreachableError, nearest, offline
from vitascope.download import TIMEOUT
from vitascope.errors import CheckpointError
from vitascope.whole import sha256
from vitascope.wording import first_line, memory_text, some

log = logging.getLogger(__name__)

_BESIDE = ("config.json", "preprocessor_config.json", "processor_config.json", "preprocessor.json", "shown.bin")
"""What is taken beside the weights where it is there: descriptions of every format that is read from folders."""
_LARGE = 1e6
"""Bytes of a file whose fetching is said."""
_SAID = 5.0
"""Seconds between two lines of progress."""
_STRANGE = (TypeError, KeyError, AttributeError, ValueError, RecursionError)
"""What comes of answers that are none of the Hub's."""


def fetch(repository: str, revision: str, inside: str, *, cached: bool = False) -> Located:
    """OWNER/NAME at a revision ("" for main), and there a file, a folder or "" for the whole. Raises `CheckpointError`.

    The Hub is asked each time what the revision is now; without it, the cache answers. The SHA-256 of weights is
    compared with what the Hub says.
    """
    revision = revision.replace("%2F", "/")
    name = repository + (f"@{revision}" if revision else "") + (f"/{inside}" if inside else "")
    commit = bool(re.fullmatch("[0-9a-f]{40}", revision))
    held = _held(repository, revision, inside, name) if cached or commit or offline() else None
    if held is not None:
        return held
    if cached or offline():
        why = "is not in the cache" if cached else "is not in the cache, and HF_HUB_OFFLINE is set"
        raise UnreachableError(f"{name} {why}{nearest(repository)}; {_by_hand(repository)}")
    try:
        return _fetched(repository, revision, inside, name)
    except UnreachableError as error:
        if (held := _held(repository, revision, inside, name)) is None:
            raise
        log.warning("%s; taking what is in the cache, revision %s", error, held.fetched["revision"][:12])
        return held


def _fetched(repository: str, revision: str, inside: str, name: str) -> Located:
    """From the Hub."""
    from huggingface_hub import HfApi, hf_hub_download

    with _worded(repository, revision, name):
        found = HfApi().model_info(repository, revision=revision or None, files_metadata=True, timeout=TIMEOUT)
        sizes, stated = listed(found)
    log_bar = _progress()
    at = revision or "main"

    def get(file: str) -> Path:
        nonlocal at
        with _worded(repository, revision, name), _names_checked():
            path = Path(hf_hub_download(repository, file, revision=at, tqdm_class=log_bar))
        at = _commit(path)  # the rest is of the same revision, whatever happens meanwhile
        return path

    def fresh(file: str) -> Path:
        if sizes[file] > _LARGE and not _is_cached(repository, at, file):
            log.info("fetching %s of %s (%s)", file, name, memory_text(sizes[file]))
        return get(file)

    return _gathered(name, sizes, inside, fresh, stated)


def listed(found: Any) -> tuple[dict[str, int], dict[str, str]]:
    """Sizes of a repository's files, and SHA-256 of those that have one; raises for what is no list of files."""
    told = {each.rfilename: each for each in found.siblings or ()}
    sizes = {file: each.size or 0 for file, each in told.items()}
    stated = {file: each.lfs.sha256 for file, each in told.items() if each.lfs is not None}
    texts = all(isinstance(text, str) for text in (*told, *stated.values()))
    if not texts or not all(isinstance(size, int) for size in sizes.values()):
        raise ValueError("no list of files")
    return sizes, stated


@contextmanager
def _names_checked() -> Iterator[None]:
    """Refuses names for the cache that lead out of it: huggingface_hub writes where the server's answers say."""
    from huggingface_hub import get_session

    def check(answer: Any) -> None:
        for header in ("ETag", "X-Linked-Etag", "X-Repo-Commit"):
            said = answer.headers.get(header, "").removeprefix("W/").strip('"')
            if ".." in said or said.startswith(("/", "\\", "~")):
                raise ValueError(f"{header} {said[:50]!r} leads out of the cache")

    hooks = get_session().event_hooks
    get_session().event_hooks = {**hooks, "response": [*hooks.get("response", ()), check]}
    try:
        yield
    finally:
        get_session().event_hooks = hooks


def _held(repository: str, revision: str, inside: str, name: str) -> Located | None:
    """From the cache; None where it is not wholly there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:  # with no pattern nothing is asked for, so that a snapshot with a part of the files is found too
        folder = Path(
            snapshot_download(repository, revision=revision or None, local_files_only=True, allow_patterns=[])
        )
    except (LocalEntryNotFoundError, ValueError):
        return None
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    try:
        return _gathered(name, files, inside, files.__getitem__, {})
    except KeyError:
        return None
    except CheckpointError as error:
        if isinstance(error, _Damaged):
            raise
        return None


def _gathered(
    name: str, files: Mapping[str, Any], inside: str, get: Callable[[str], Path], stated: Mapping[str, str]
) -> Located:
    """The place of what is to be read of a repository that holds `files`, once `get` has made each of them be there."""
    folder, file = _chosen(name, set(files), inside)
    wanted = [f"{folder}{beside}" for beside in _BESIDE if f"{folder}{beside}" in files]
    weights = [file]
    for each in wanted:
        _check_inside(get(each), name)
    place = _check_inside(get(file), name)
    if file.endswith(".index.json"):
        weights = [f"{folder}{shard}" for shard in sorted(set(shards(place, read_json(place)).values()))]
        if absent := [shard for shard in weights if shard not in files]:
            raise CheckpointError(f"{name}: {file} names {some(absent)}, which the repository does not hold")
    sums = {}
    for each in weights:
        path = _check_inside(get(each), name)
        sums[each.removeprefix(folder)] = _verified(path, stated.get(each, ""), name)
    revision = _commit(place)
    whole = not inside or not inside.endswith(tuple(WEIGHT_ENDINGS))
    return Located(place=place.parent if whole else place, fetched={"name": name, "revision": revision, "sha256": sums})


def _chosen(name: str, files: set[str], inside: str) -> tuple[str, str]:
    """The folder within the repository, "" or with "/" behind it, and the file of weights or the index of several."""
    if inside in files:
        if PurePosixPath(inside).suffix not in WEIGHT_ENDINGS:
            raise CheckpointError(
                f"{name}: no file of weights; expected one that ends with {some(sorted(WEIGHT_ENDINGS))}"
            )
        folder = inside.rpartition("/")[0]
        return (f"{folder}/" if folder else "", inside)
    folder = f"{inside.rstrip('/')}/" if inside else ""
    here = {file.removeprefix(folder) for file in files if file.startswith(folder)}
    weights = sorted(file for file in files if PurePosixPath(file).suffix in WEIGHT_ENDINGS)
    if inside and not here:
        raise CheckpointError(f"{name}: the repository has no {inside}; of weights it holds {some(weights) or 'none'}")
    file, others = weights_among(here)
    if not file:
        told = f"weights are {some(weights)}: name one behind a /" if weights else "it holds no weights that are read"
        raise CheckpointError(f"{name}: no {'single ' if others else ''}file to take; {told}")
    return folder, f"{folder}{file}"


class _Damaged(CheckpointError):
    """A file of the cache is not what the Hub says."""


def _check_inside(path: Path, name: str) -> Path:
    """`path`, unless it is a link out of the repository's cache: whatever lies there is none of ours."""
    root = Path(*path.parts[: len(path.parts) - 1 - path.parts[::-1].index("snapshots")])
    if path.is_symlink() and path.resolve().parent != (root / "blobs").resolve():
        raise CheckpointError(f"{name}: {path} is a link out of the cache; remove it, and look at where it leads")
    return path


def _verified(path: Path, stated: str, name: str) -> str:
    """SHA-256 of a file of weights; a damaged one is deleted from the cache, for it can be had again."""
    blob = Path(path.readlink()).name if path.is_symlink() else ""  # of the cache, which calls it by its sum
    expected = stated or (blob if re.fullmatch("[0-9a-f]{64}", blob) else "")
    found = sha256(path)
    if expected and found != expected:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        told = f"SHA-256 of {path.name} is {found[:12]}…, the Hub says {expected[:12]}…"
        raise _Damaged(f"{name}: {told}: damaged on its way or here. It is deleted; run the same command again")
    return found


def _commit(path: Path) -> str:
    """The revision from a path of the cache, …/snapshots/COMMIT/FILE."""
    return path.parts[len(path.parts) - path.parts[::-1].index("snapshots")]


def _is_cached(repository: str, revision: str, file: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file, revision=revision), str)


def _by_hand(repository: str) -> str:
    from huggingface_hub import constants

    return (
        f"where there is a network run `hf download {repository}` and copy models--{repository.replace('/', '--')} to "
        f"{constants.HF_HUB_CACHE}, or give the path of its folder"
    )


@contextmanager
def _worded(repository: str, revision: str, name: str) -> Iterator[None]:
    """What huggingface_hub and the libraries below it raise, as a `CheckpointError` of one line."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repository}"
    try:
        yield
    except errors.GatedRepoError as error:
        told = f"{name} is gated: accept its terms at {page}, then `hf auth login` or set HF_TOKEN"
        raise CheckpointError(told) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r}; see {page}/commits") from error
    except errors.RepositoryNotFoundError as error:
        told = f"{repository}: no such path here, and the Hub has no such model, or a private one (`hf auth login`)"
        raise CheckpointError(f"{told}{nearest(repository)}") from error
    except errors.HFValidationError as error:
        raise CheckpointError(f"{name} is no name that the Hub knows ({first_line(error)})") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            told = f"{name}: the Hub refuses ({status}); `hf auth login` or set HF_TOKEN, and see {page}"
            raise CheckpointError(told) from error
        raise UnreachableError(
            f"{name}: the Hub answers {status}; try again later, or {_by_hand(repository)}"
        ) from error
    except Exception as error:  # of whichever HTTP library is below it, whose errors have no common name
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "it cannot be written"
            told = f"{name} cannot be kept in {constants.HF_HUB_CACHE}: {why}; free some space, or set HF_HUB_CACHE"
            raise CheckpointError(told) from error
        why = first_line(error)[:200] or type(error).__name__
        strange = isinstance(error, _STRANGE) and not isinstance(error, OSError)
        what = "answers as no Hub does" if strange else "cannot be reached"
        told = f"{name}: no such path here, and {constants.ENDPOINT} {what} ({type(error).__name__}: {why})"
        raise UnreachableError(f"{told}{nearest(repository)}; {_by_hand(repository)}") from error


def _progress() -> Any:
    """A bar that is a line of the log every few seconds."""
    from tqdm import tqdm

    class Lines(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs = {key: value for key, value in kwargs.items() if key != "name"}
            super().__init__(*args, **{**kwargs, "disable": False, "mininterval": _SAID, "leave": False})

        def display(self, *args: Any, **kwargs: Any) -> None:
            if self.n and self.total and self.n < self.total:
                log.info("%s of %s", memory_text(self.n), memory_text(self.total))

        def clear(self, *args: Any, **kwargs: Any) -> None:
            pass

    return Lines
