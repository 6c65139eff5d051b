"""One file over HTTP: whole or not at all, and where it was cut off it goes on, also in another process."""

from __future__ import annotations

import base64
import errno
import glob
import hashlib
import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from vitascope.file_lock import take
from vitascope.whole import force_to_disk
from vitascope.wording import memory_text

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without any answer."""
_TRIES, _PAUSE = 3, 1.0
"""How often nothing new may come before it is given up, and seconds in between."""
_BLOCK = 1 << 20  # bytes read at a time
_SAID = 5.0  # seconds between two lines of progress


def download(url: str, path: Path, *, size: int | None = None, md5: str = "") -> None:
    """Fetches `url` to `path` unless that is there; `size` in bytes and `md5` (hexadecimal) are compared, and before
    that the MD5 which Google's storage states.

    What has come so far stays in .NAME.VERSION.part beside it, which the next call goes on with. Of several processes
    one fetches, and the others wait. Raises OSError with a reason of one line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_ask(url, 0)) as answer:
        told = answer.headers["Content-Length"] or ""
        total = int(told) if told.isdigit() else -1
        if total < 0 or total != (size or total):
            raise OSError(f"{told or 'an unknown number of'} bytes, expected {size or 'to be told how many'}")
        part = path.with_name(f".{path.name}.{_version(answer.headers, total)}.part")
        with part.open("ab") as file:
            take(file, wait=True, threads=True)
            if path.exists():  # another has fetched it meanwhile: this file is that one, or a new one after it
                part.unlink(missing_ok=True)
                return
            file.seek(0, os.SEEK_END)  # which another may have moved before it gave up
            _room(path.parent, total - file.tell())
            log.info("fetching %s (%s) to %s", url, memory_text(total), path.parent)
            _all_of(url, file, answer, total, answer.headers["ETag"])
            file.flush()
            force_to_disk(part)
            try:
                _verify(part, total, md5 or _stated_md5(answer.headers))
            except OSError:
                part.unlink()  # what is wrong is not gone on with
                raise
            part.replace(path)
    force_to_disk(path.parent)
    for other in path.parent.glob(f".{glob.escape(path.name)}.*.part"):  # of what is no longer offered
        other.unlink(missing_ok=True)


def _all_of(url: str, file: IO[bytes], answer: Any, total: int, etag: str | None) -> None:
    """Appends to `file` what is missing of `total` bytes; `answer` is one that begins with the first byte."""
    tries, said, failed = 0, time.monotonic(), ""
    if file.tell():
        log.info("going on at %s", memory_text(file.tell()))
        answer = None
    while (before := file.tell()) < total:
        try:
            answer = answer or _ask(url, before, etag)
            if before and answer.status != 206:  # a server that knows no ranges, or has something else by now
                file.seek(0)
                file.truncate()
            with answer:
                while file.tell() < total and (block := answer.read(_BLOCK)):
                    file.write(block)
                    if time.monotonic() - said > _SAID:
                        said = time.monotonic()
                        log.info("%s of %s", memory_text(file.tell()), memory_text(total))
        except http.client.HTTPException as error:
            failed = f" ({type(error).__name__})"
        except OSError as error:
            if error.errno in OF_THE_DISK or not _may_pass(error):
                raise
            failed = f" ({error})"
        answer = None
        tries = 0 if file.tell() > before else tries + 1
        if tries >= _TRIES:
            at = f"cut off at {memory_text(file.tell())} of {memory_text(total)}{failed}"
            raise OSError(f"{at}; the same command goes on from there")
        if file.tell() < total:
            log.info("cut off at %s of %s; going on", memory_text(file.tell()), memory_text(total))
            time.sleep(_PAUSE if tries else 0)


OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors that no network makes."""


def _may_pass(error: OSError) -> bool:
    """Whether asking again may help."""
    return not isinstance(error, urllib.error.HTTPError) or error.code in (408, 429) or error.code >= 500


def _ask(url: str, first: int, etag: str | None = None) -> Any:
    """The answer that begins at byte `first` of what `etag` stands for, or with the first. Raises OSError."""
    part = {"Range": f"bytes={first}-", **({"If-Range": etag} if etag else {})} if first else {}
    request = urllib.request.Request(url, headers=part)
    try:
        return urllib.request.build_opener(_Encrypted).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from error
    except http.client.HTTPException as error:
        raise OSError(f"no answer that HTTP knows ({type(error).__name__})") from error


class _Encrypted(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted address to one that is not."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise OSError(f"redirected from https to {newurl[:100]}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _version(headers: Mapping[str, str], total: int) -> str:
    """What tells this content from another under the same address."""
    told = headers.get("ETag") or headers.get("Last-Modified") or ""
    return hashlib.sha256(f"{told} {total}".encode()).hexdigest()[:12]


def _stated_md5(headers: Any) -> str:
    """From "x-goog-hash: crc32c=…, md5=…" in base64, which comes as one header or two; else ""."""
    for told in headers.get_all("x-goog-hash") or ():
        for item in told.split(","):
            name, _, value = item.strip().partition("=")
            if name == "md5":
                try:
                    return base64.b64decode(value, validate=True).hex()
                except ValueError as error:
                    raise OSError(f"the server states an MD5 of {value[:40]!r}, which is none") from error
    return ""


def _room(folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if missing > free:
        told = f"the disk is full: {memory_text(missing)} are missing of it, {memory_text(free)} are free"
        raise OSError(errno.ENOSPC, told)


def _verify(part: Path, total: int, md5: str) -> None:
    if part.stat().st_size != total:
        raise OSError(f"{part.stat().st_size} bytes, expected {total}")
    if md5:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            raise OSError(f"MD5 {found}, expected {md5}: damaged, and not kept")
