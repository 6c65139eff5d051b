"""Images in the bodies of requests, bounded in size, in time and all together.

One image is a body as it is; several come as multipart form data (RFC 7578).
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from vitascope.web.errors import Refusal
from vitascope.web.settings import ServeSettings

FIELD = "image"
"""Name of the form field; it may occur several times."""

_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _FILE}, "required": [FIELD]}
_CONTENT = {"multipart/form-data": {"schema": _FORM}, "application/octet-stream": {"schema": _FILE}}
BODY = {"requestBody": {"required": True, "content": _CONTENT}}
"""What a route that takes images adds to the schema."""

_REFUSED_TYPES = ("application/json", "text/", "video/", "audio/", "application/pdf")
_MAX_OTHER_FIELDS, _MAX_OTHER_BYTES = 16, 2**14
_PIECE = 2**18
_TURN = 0.02  # seconds of parsing after which other requests have theirs; a piece full of near boundaries takes 0.1
_ZLIB = ("gzip", "deflate")
_EITHER = zlib.MAX_WBITS | 32  # the header of one or the other says which it is


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One image of a request."""

    name: str | None
    """File name without folders, or None; for people only, no file is ever opened by it."""
    content: bytes
    """The file's bytes."""


class Intake:
    """Reads bodies; `held` counts the bytes of all that are being read or answered."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, held until the context ends.

        gzip and deflate are undone, and what they become counts. Raises Refusal: 413 above `max_bytes`, whether
        announced or counted; 408 when it is late; 415 for another coding, 400 where it is damaged; 503 when all bodies
        together exceed `intake_bytes`.
        """
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", *_ZLIB):
            raise Refusal(415, f"the body is compressed; expected {' or '.join(_ZLIB)}, or send it as it is")
        # HTTP lets only digits through, but Python does not read thousands of them.
        announced = int(request.headers.get("content-length", "0")[:20])
        self._admit(announced, self.held + announced)
        decoder = zlib.decompressobj(_EITHER) if coding in _ZLIB else None
        seconds = self._settings.upload_timeout
        mine, chunks = 0, []
        try:
            try:
                async with asyncio.timeout(seconds):
                    async for chunk in request.stream():
                        if decoder:  # at most what proves it too large, so that it can be counted before more is held
                            chunk = decoder.decompress(chunk, self._settings.max_bytes + 1 - mine)
                        mine += len(chunk)
                        self.held += len(chunk)
                        self._admit(mine, self.held)
                        chunks.append(chunk)
            except TimeoutError:
                late = f"the body did not arrive within {seconds:g} seconds"
                raise Refusal(408, late, {"connection": "close"}) from None
            except zlib.error:
                raise Refusal(400, "the compressed body is damaged") from None
            if decoder and not decoder.eof:
                raise Refusal(400, "the compressed body is incomplete")
            body = b"".join(chunks)
            chunks.clear()
            yield body
        finally:
            self.held -= mine

    @asynccontextmanager
    async def uploads(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The images of a body, held until the context ends; raises Refusal."""
        async with self.body(request) as body:
            yield await read_uploads(body, request.headers.get("content-type", ""), self._settings.max_images)

    def _admit(self, size: int, together: int) -> None:
        if size > self._settings.max_bytes:
            raise Refusal(413, f"the body is larger than {self._settings.max_bytes:,} bytes; send a smaller image")
        if together > self._settings.intake_bytes:
            raise Refusal(503, "too many bodies are being received; try again in a second")


async def read_uploads(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    """The images of a body, at least one. Raises Refusal: 400 malformed or none, 413 too many, 415 another type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(body, content_type, max_images)
    elif kind.startswith(_REFUSED_TYPES):
        shown = kind if kind.isprintable() and len(kind) <= 60 else "another type"
        raise Refusal(415, f"received {shown}, expected an image, or a form with a field {FIELD!r}")
    else:  # any other type, for curl calls all bytes a form unless told otherwise
        uploads = [Upload(name=None, content=body)] if body else []
    if not uploads:
        raise Refusal(400, f"no image received; send one as the body, or as a file in the form field {FIELD!r}")
    return uploads


def file_name(text: str) -> str | None:
    """The last part of whatever a client calls its file, without what does not print, at most 200 characters."""
    last = re.split(r"[/\\]", text)[-1]
    return "".join(c for c in last if c.isprintable()).strip()[:200].strip(". ") or None


class _Parser(MultiPartParser):
    """As starlette has it, but files are kept as they come, none on disk, and a form that breaks off is noticed."""

    def __init__(self, *args: Any, **limits: Any) -> None:
        super().__init__(*args, **limits)
        self.uploads: list[Upload] = []
        self.ended = False

    def on_end(self) -> None:
        self.ended = True

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._content = bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            super().on_part_data(data, start, end)
        else:  # its own files would copy them three times more
            self._content += data[start:end]

    def on_part_end(self) -> None:
        super().on_part_end()
        if self._current_part.file is not None and self._current_part.field_name == FIELD:
            name = file_name(self._current_part.file.filename or "")
            self.uploads.append(Upload(name=name, content=bytes(self._content)))


async def _from_form(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        began = time.monotonic()
        for at in range(0, len(body), _PIECE):
            if time.monotonic() - began > _TURN:  # not after every piece: a turn of the loop may cost more than one
                await asyncio.sleep(0)
                began = time.monotonic()
            yield body[at : at + _PIECE]
        if not parser.ended:
            raise MultiPartException("It breaks off before its end.")

    limits = {"max_files": max_images, "max_fields": _MAX_OTHER_FIELDS, "max_part_size": _MAX_OTHER_BYTES}
    parser = _Parser(Headers({"content-type": content_type}), pieces(), **limits)
    try:
        await (await parser.parse()).close()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Refusal(413, f"more than {max_images} images in one request; send fewer at a time") from None
        raise Refusal(400, f"the form is malformed: {error.message}") from None
    except ValueError:
        raise Refusal(400, "the form is malformed: it is not in the charset that it states") from None
    return parser.uploads
