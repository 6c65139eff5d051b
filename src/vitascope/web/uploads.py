"""Images in the body of a request: one as it is, or several as multipart form data (RFC 7578)."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vitascope.web.errors import Refusal

FIELD = "image"
"""Name of the form field; it may occur several times."""

_REFUSED_TYPES = ("application/json", "text/", "video/", "audio/", "application/pdf")
_MAX_OTHER_FIELDS = 16


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One image of a request."""

    name: str | None
    """File name without folders, or None; for people only, no file is ever opened by it."""
    content: bytes
    """The file's bytes."""


def read_uploads(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    """The images of a body, at least one. Raises Refusal: 400 malformed or none, 413 too many, 415 another type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = _Form(content_type, max_images).read(body)
    elif kind.startswith(_REFUSED_TYPES):
        raise Refusal(415, f"received {_shown(kind)}, expected an image, or a form with a field {FIELD!r}")
    else:  # any other type, for curl calls all bytes a form unless told otherwise
        uploads = [Upload(name=None, content=body)] if body else []
    if not uploads:
        raise Refusal(400, f"no image received; send one as the body, or as the form field {FIELD!r}")
    return uploads


def file_name(text: str) -> str | None:
    """The last part of whatever a client calls its file, without what does not print, at most 200 characters."""
    last = re.split(r"[/\\]", text)[-1]
    return "".join(c for c in last if c.isprintable()).strip()[:200].strip(". ") or None


class _Form:
    """Collects the parts of form data; reads in memory, since the body is there and bounded."""

    def __init__(self, content_type: str, max_images: int) -> None:
        _, options = parse_options_header(content_type.encode("latin-1", "replace"))
        self._boundary = options.get(b"boundary", b"")
        if not 1 <= len(self._boundary) <= 256:
            raise Refusal(400, "the form has no boundary; let your HTTP client write the Content-Type")
        self._max_images = max_images
        self._others = 0
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._pieces: list[bytes] | None = None
        self._name: str | None = None
        self._uploads: list[Upload] = []
        self._ended = False

    def read(self, body: bytes) -> list[Upload]:
        parser = MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )
        with suppress(FormParserError):  # then it does not come to its end
            parser.write(body)
            parser.finalize()
        if not self._ended:
            raise Refusal(400, "the form cannot be read: it is malformed or incomplete")
        return self._uploads

    def _begin(self) -> None:
        self._header = self._value = self._disposition = b""
        self._pieces = None

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode():
            self._others += 1
            if self._others > _MAX_OTHER_FIELDS:
                raise Refusal(400, f"the form has many fields that are not {FIELD!r}")
            return
        if len(self._uploads) == self._max_images:
            raise Refusal(413, f"more than {self._max_images} images in one request; send fewer at a time")
        self._pieces = []
        self._name = file_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._pieces is not None:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        if self._pieces is not None:
            self._uploads.append(Upload(name=self._name, content=b"".join(self._pieces)))

    def _finish(self) -> None:
        self._ended = True


def _shown(text: str) -> str:
    return text if text.isprintable() and len(text) <= 60 else "another type"
