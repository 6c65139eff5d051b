"""Tar shards that lead round in circles, claim too much or hide images: refused in one line, at once."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from pathlib import Path

from PIL import Image

from faults.limited import READ, REFUSED, contents

END = bytes(1024)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, "PNG")
    return stream.getvalue()


def member(name: str, content: bytes, *, size: int | None = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header, true or not, and the content that follows it."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content) if size is None else size, kind
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def pair(key: str, label: bytes = b"0") -> bytes:
    return member(f"{key}.png", picture()) + member(f"{key}.cls", label)


def extended(record: bytes) -> bytes:
    """A POSIX header of one record."""
    length = len(record) + 2
    while len(f"{length}") + len(record) + 2 != length:
        length += 1
    return member("header", f"{length} ".encode() + record + b"\n", kind=tarfile.XHDTYPE)


def all_refused(folder: Path, files: dict[str, bytes], match: str) -> None:
    for name, (outcome, message) in contents(
        folder, {f"{name}.tar": content for name, content in files.items()}
    ).items():
        assert outcome == REFUSED, f"{name}: {outcome} {message}"
        assert match in message


def test_sizes_that_lead_backwards_or_out_of_the_file(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"):
        for size in (-1, -512, -10_240, -(2**62), 2**62):
            files[f"{kind!r} {size}"] = pair("0") + member("1.png", picture(), size=size, kind=kind) + END
    for record in (b"size=-10240", b"size=99999999999999999999", b"size=" + b"9" * 4000, b"size=x"):
        files[record.decode()[:40]] = pair("0") + extended(record) + pair("1") + END
    start = time.monotonic()
    all_refused(tmp_path, files, "cannot be read as an uncompressed tar file")
    assert time.monotonic() - start < 5  # most of it the start of the process


def test_extended_headers_that_take_hours_or_the_stack(tmp_path: Path) -> None:
    files = {
        "many.tar": extended(b"comment=x") * 5000 + pair("0") + END,
        "short.tar": member("header", b"5 a=\n" * 12_000, kind=tarfile.XHDTYPE) * 50 + pair("0") + END,
        "digits.tar": member("header", b"1" * 60_000, kind=tarfile.XHDTYPE) + pair("0") + END,
    }
    start = time.monotonic()
    assert set(contents(tmp_path, files).values()) == {(READ, "1 images, 0 unreadable")}
    assert time.monotonic() - start < 5  # most of it the start of the process
    huge = member("header", bytes(1 << 20), kind=tarfile.XHDTYPE) + pair("0") + END
    all_refused(tmp_path, {"huge": huge}, "an extended header of 1048576 bytes")
    all_refused(tmp_path, {"sparse": extended(b"GNU.sparse.major=1") + pair("0") + END}, "written with --sparse")


def test_labels_that_are_none(tmp_path: Path) -> None:
    image = member("1.png", picture())
    wrong = (
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"1" * 10_000 + b".",
        b"",
        b"[1]",
        b"-1",
        b"1e999",
        b"null",
    )
    files = {str(number): image + member("1.json", label) + END for number, label in enumerate(wrong)}
    all_refused(tmp_path, files, "1.png: no label")
    all_refused(tmp_path, {"surrogate": image + member("1.json", b'"\\ud800"') + END}, "make them alike")
    twice = image + member("1.cls", b"0") + member("1.cls", b"1") + END
    all_refused(tmp_path, {"twice": twice}, "a second label of its key")
    large = contents(tmp_path, {"large.tar": image + member("1.cls", b"999999999999") + END})
    assert large == {"large.tar": (READ, "1 images, 0 unreadable")}


def test_compressed_shards_are_not_unpacked(tmp_path: Path) -> None:
    ((outcome, message),) = contents(tmp_path, {"a.tar.gz": gzip.compress(bytes(100 << 20))}).values()
    assert outcome == REFUSED
    assert "gunzip" in message


def test_what_lies_behind_damage_is_not_lost_silently(tmp_path: Path) -> None:
    broken = bytearray(pair("0") + pair("1") + END)
    broken[len(pair("0")) + 3] ^= 1
    all_refused(tmp_path, {"broken": bytes(broken)}, "bad checksum at byte")
    all_refused(tmp_path, {"joined": pair("0") + END + pair("1") + END}, "tar files in one?")
    all_refused(tmp_path, {"cut": (pair("0") + pair("1"))[: -512 - 300]}, "truncated header at byte")
    padded = pair("0") + bytes(10_240)  # as tar itself ends
    assert contents(tmp_path, {"padded.tar": padded}) == {"padded.tar": (READ, "1 images, 0 unreadable")}
