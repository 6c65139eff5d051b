"""A checkpoint as a repository of the Hugging Face Hub: the files of our own format with their card, in one commit.

huggingface_hub sends. What stands on the Hub stays in its history; what it holds that is not ours is never replaced.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from vitascope.checkpoints.hub import listed
from vitascope.checkpoints.named import offline
from vitascope.checkpoints.output import SETTLED
from vitascope.checkpoints.starts import STARTS
from vitascope.download import TIMEOUT
from vitascope.errors import CheckpointError
from vitascope.whole import sha256
from vitascope.wording import first_line, memory_text, some

if TYPE_CHECKING:
    from vitascope.checkpoints.checkpoint import Checkpoint

log = logging.getLogger(__name__)

_THEIRS = ".gitattributes"
"""What the Hub puts into every repository."""
_LOGIN = "`hf auth login` or set HF_TOKEN, with a token that may write"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where something may be pushed to."""

    repository: str
    """OWNER/NAME."""
    parent: str | None
    """What it holds now, as a commit; None where there is no such repository."""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What stands on the Hub."""

    url: str
    """Of its page."""
    revision: str
    """Of this commit."""
    files: dict[str, int]
    """Names and bytes."""


def target(repository: str, *, overwrite: bool = False) -> Target:
    """Asks the Hub whether OWNER/NAME may be written; `overwrite` allows what an earlier push wrote.

    Raises `CheckpointError` without a token, for what is there, and where the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository, re.ASCII):
        raise CheckpointError(f"{repository!r} is no name on the Hub; expected OWNER/NAME")
    if offline():
        raise CheckpointError(f"{repository} cannot be pushed: HF_HUB_OFFLINE is set; unset it")
    if get_token() is None:
        raise CheckpointError(f"{repository} cannot be pushed without a token; {_LOGIN}")
    with _worded(repository):
        try:
            found = HfApi().model_info(repository, timeout=TIMEOUT)
        except RepositoryNotFoundError:
            return Target(repository=repository, parent=None)
        files = sorted(listed(found)[0].keys() - {_THEIRS})
    if files and not overwrite:
        raise CheckpointError(f"{repository} exists and holds {some(files, 3)}; give --overwrite, or another name")
    if strangers := [file for file in files if not re.fullmatch(SETTLED, file)]:
        told = f"{repository} holds {some(strangers, 3)}, which this did not write"
        raise CheckpointError(f"{told}; choose another name")
    return Target(repository=repository, parent=found.sha)


def push(checkpoint: Checkpoint, to: Target, *, public: bool = False, half: bool = False, license: str = "") -> Pushed:
    """Sends a checkpoint; a new repository is private unless `public`. Of paths in its card only the last part is sent.

    What arrived is compared with what was sent by the SHA-256 that the Hub states. Raises `CheckpointError`.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from vitascope.checkpoints.card import model_card
    from vitascope.checkpoints.store import CARD, write_folder

    checkpoint = replace(checkpoint, card=without_places(checkpoint.card))
    api, name = HfApi(), to.repository
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        write_folder(checkpoint, folder, half=half)
        (folder / CARD).write_text(model_card(checkpoint, name, license), encoding="utf-8")
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        log.info("sending %s to %s", memory_text(sum(files.values())), name)
        with _worded(name), _no_bars():
            if to.parent is None:
                api.create_repo(name, private=not public)
            sent = api.create_commit(
                name,
                [CommitOperationAdd(path_in_repo=file, path_or_fileobj=str(folder / file)) for file in files],
                commit_message="A checkpoint of vitascope",
                parent_commit=to.parent,
            )
            held = api.model_info(name, revision=sent.oid, files_metadata=True, timeout=TIMEOUT)
            there, sums = listed(held)
        wrong = [file for file in files if file not in there or sums.get(file, "") not in ("", sha256(folder / file))]
    if wrong:
        raise CheckpointError(f"{name}: what the Hub holds of {some(wrong)} is not what was sent; push it again")
    from huggingface_hub import constants

    return Pushed(url=f"{constants.ENDPOINT}/{name}", revision=sent.oid, files=files)


_PLACES = {"data", "checkpoint", "out", "start", "source", "test", "train", "validation", "labels", "resume"}
"""Keys of a card below which a text is a place, whatever it looks like, unless it is a name that anybody can fetch."""
_FILES = {"file", "files", "unreadable"}
"""Keys below which names of photographs stand."""
_INSIDE = re.compile(r"(?<![^\s(\"'])(?:~|[A-Za-z]:|file:|\.{1,2})?[/\\][^\s)\"']+")
_OWNERS = {start.name.partition("/")[0] for start in STARTS if "/" in start.name} - {""}


def without_places(value: Any, key: str = "") -> Any:
    """JSON values in which paths of this machine have become their last part, and names of photographs their number:
    they tell of people and say nothing."""
    if isinstance(value, dict):
        return {_cut(name): without_places(each, name) for name, each in value.items()}
    if key in _FILES and value is not None and not isinstance(value, int | float):
        return len(value) if isinstance(value, list | tuple) else "…"
    if isinstance(value, list | tuple):
        return [without_places(each, key) for each in value]
    if not isinstance(value, str):
        return value
    fetched = value.startswith(("hf:", "hf-hub:", "google:")) or value.partition("/")[0] in _OWNERS
    if key in _PLACES and not fetched:
        return "".join(part if part in ",=:|" else _last(part) for part in re.split("([,=:|])", value))
    return _cut(value)


def _cut(text: str) -> str:
    """Where a text is a path, or holds ones, their last parts stand instead."""
    return _last(text) if _is_place(text) else _INSIDE.sub(lambda found: _last(found[0]), text)


def _last(place: str) -> str:
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]


def _is_place(text: str) -> bool:
    if "\n" in text or len(text) > 4096:
        return False
    absolute = os.path.isabs(text) or PureWindowsPath(text).is_absolute() or text.startswith(("~", "./", "../"))
    return absolute or ("/" in text and os.path.exists(text))


@contextmanager
def _no_bars() -> Iterator[None]:
    from huggingface_hub import utils

    bars: Any = utils
    if bars.are_progress_bars_disabled():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()


@contextmanager
def _worded(repository: str) -> Iterator[None]:
    """What huggingface_hub and the libraries below it raise, as a `CheckpointError` of one line."""
    from huggingface_hub import constants, errors

    try:
        yield
    except Exception as error:
        cause = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        if isinstance(cause, errors.HfHubHTTPError):
            status = cause.response.status_code
            said = (cause.server_message or "").strip().splitlines()
            told = {
                401: f"the Hub does not accept the token; {_LOGIN}",
                403: f"the token has no right to write there; {_LOGIN}, or choose another OWNER",
                409: "there is such a repository already; give --overwrite, or another name",
                412: "it was changed meanwhile; run the same command again",
            }.get(status, f"the Hub answers {status}{f' ({said[0][:200]})' if said else ''}; try again later")
            raise CheckpointError(f"{repository}: {told}") from error
        if isinstance(error, CheckpointError):
            raise
        below = error.__cause__ or error
        why = f"{type(below).__name__}: {first_line(below)[:200]}"
        raise CheckpointError(
            f"{repository}: {constants.ENDPOINT} cannot be reached ({why}); try again later"
        ) from error
