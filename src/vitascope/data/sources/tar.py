"""The members of an uncompressed tar file: the standard library reads each header, the walk between them is ours.

Its own walk may go round for ever on a negative size (CVE-2025-8194), takes hours over crafted extended headers
(CVE-2024-6232), recurses over a row of them, and ends without a word at a damaged header, with all that lies behind it.
Here every step goes forward by 512 bytes or more, no size passes the file's end, and what cannot be read is an error.
"""

from __future__ import annotations

import logging
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from vitascope.errors import DataError
from vitascope.wording import printable

log = logging.getLogger(__name__)

_BLOCK = 512
_LONGEST_HEADER = 1 << 16  # bytes of an extended header: paths have at most 4,096
_LOOKED_AT = 1 << 20  # bytes behind the end mark: tar fills up its last record with zeros
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_POSIX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (*_POSIX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_RECORD = re.compile(rb"(\d{1,7}) ([^=]*)=")
_WITHOUT_DATA = (*_LINKS, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


@dataclass(frozen=True)
class Member:
    """What a header tells of one member."""

    name: str
    """Its path; bytes that are not UTF-8 as surrogates."""
    kind: str
    """"file", "folder", "link" or "other"."""
    offset: int
    """Where its bytes begin in the tar file."""
    size: int
    """How many there are; within the file."""


def members(file: IO[bytes], path: str) -> Iterator[Member]:
    """The members of an open tar file in order; `file` may be read in between. Raises DataError that names `path`."""
    end = os.fstat(file.fileno()).st_size
    offset = 0
    given: dict[str, str] = {}
    while offset < end:
        file.seek(offset)
        header = file.read(_BLOCK)
        if not header.strip(b"\0"):
            if file.read(_LOOKED_AT).strip(b"\0"):
                raise _unreadable(path, f"more lies behind its end at byte {offset}; are these tar files in one?")
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            size = info.size if info.type in _EXTENDED else int(given.get("size", info.size))
        except (tarfile.TarError, ValueError) as error:
            raise _unreadable(path, f"{printable(str(error))[:60]} at byte {offset}") from None
        start = offset + _BLOCK
        if info.type in _WITHOUT_DATA:
            size = 0
        if not 0 <= size <= end - start:
            raise _unreadable(path, f"the size at byte {offset} is below 0 or more than the {end - start} bytes left")
        offset = start + -(-size // _BLOCK) * _BLOCK
        if info.type in _EXTENDED:
            if size > _LONGEST_HEADER:
                raise _unreadable(path, f"an extended header of {size} bytes")
            content = file.read(size)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                given["path"] = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            elif info.type in _POSIX:
                given |= _extended(content)
            continue
        if info.type == tarfile.GNUTYPE_SPARSE or "sparse" in given:
            raise DataError(f"{printable(path)}: written with --sparse, which is not read; write it without")
        kind = "file" if info.isreg() else "folder" if info.isdir() else "link" if info.type in _LINKS else "other"
        yield Member(given.get("path", info.name), kind, start, size)
        given = {}
    log.warning("%s: no end mark; it may be cut short", printable(path))


def _extended(content: bytes) -> dict[str, str]:
    """Path and size in a POSIX extended header, records "LENGTH KEY=VALUE\\n"; "sparse" where it tells of one."""
    found: dict[str, str] = {}
    at = 0
    while match := _RECORD.match(content, at):
        end = at + int(match[1])
        if end <= match.end():
            break  # damaged
        key, value = match[2], content[match.end() : end - 1]
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key.startswith(b"GNU.sparse"):
            found["sparse"] = ""
        at = end
    return found


def _unreadable(path: str, what: str) -> DataError:
    return DataError(
        f"{printable(path)}: cannot be read as an uncompressed tar file ({what}); fetch it again, or unpack it with "
        "gunzip if it is compressed"
    )
