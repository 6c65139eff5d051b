"""Parquet files and tar shards with bytes changed, cut, repeated and lost, opened and read in a bounded process."""

from __future__ import annotations

import io
import json
import random
import tarfile
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from faults.limited import READ, REFUSED, outcomes

_TOGETHER = 250  # files that lie on the disk at once


def run(seed: int, count: int) -> dict[str, int]:
    """`count` damaged files → how often each outcome was met; all but READ and REFUSED are faults, told with the index.

    `damaged(seed, index)` makes the same file again.
    """
    met: Counter[str] = Counter()
    for start in range(0, count, _TOGETHER):
        with tempfile.TemporaryDirectory() as folder:
            files: dict[Path, int] = {}
            for index in range(start, min(start + _TOGETHER, count)):
                name, content = damaged(seed, index)
                file = Path(folder, f"{index}{name}")
                file.write_bytes(content)
                files[file] = index
            for file, (outcome, message) in outcomes(list(files)).items():
                fault = outcome not in (READ, REFUSED)
                met[f"{files[file]}: {outcome} {message}" if fault else outcome] += 1
    return dict(met)


def damaged(seed: int, index: int) -> tuple[str, bytes]:
    """→ (ending, content) of file `index`."""
    draw = random.Random(f"{seed} {index}")
    ending, content = draw.choice(_sound())
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        content = _change(content, draw)
    return ending, content


def _change(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) or 1)
    if content and draw.random() < 0.4:  # where formats keep what they promise: the first headers and the footer
        at = draw.choice((at % 1024, max(len(content) - 1 - at % 2048, 0)))
    length = draw.choice((1, 4, 8, 64, 512, 513, 4096))
    head, middle, tail = content[:at], content[at : at + length], content[at + length :]
    match draw.randrange(7):
        case 0:
            middle = bytes(byte ^ (1 << draw.randrange(8)) for byte in middle[:1]) + middle[1:]
        case 1:
            middle = draw.randbytes(len(middle))
        case 2:
            middle = middle * draw.choice((2, 3, 20))
        case 3:
            middle = b""
        case 4:
            middle = draw.choice((b"\0", b"\xff", b"\x80")) * len(middle)
        case 5:
            tail = b"" if draw.random() < 0.3 else tail
        case _:
            other = draw.randrange(len(content) or 1)
            middle = content[other : other + length]
    return head + middle + tail


@cache
def _sound() -> list[tuple[str, bytes]]:
    """One of each kind, as people have them."""

    def picture(value: int) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", (9, 7), (value, 0, 0)).save(stream, ("PNG", "JPEG")[value % 2])
        return stream.getvalue()

    files: list[tuple[str, bytes]] = []
    pictures = [picture(value) for value in range(12)]
    structs = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(pictures)]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog", "owl"]}}
    for compression in ("none", "snappy", "zstd", "gzip"):
        for images in (structs, pictures):
            for labels in ([i % 3 for i in range(12)], [("cat", "dog")[i % 2] for i in range(12)]):
                table = pa.table({"image": images, "label": labels})
                if isinstance(labels[0], int):
                    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
                stream = io.BytesIO()
                pq.write_table(table, stream, compression=compression, row_group_size=5)
                files.append((".parquet", stream.getvalue()))
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
            for i, data in enumerate(pictures):
                key = f"{'folder/' * 12 * (i % 2)}{'ä' * 40 * (i % 2)}{i:04d}"
                members = {f"{key}.png": data, f"{key}.cls": f"{i % 3}".encode(), f"{key}.json": b'{"label": 3}'}
                for name, content in members.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        files += [(".tar", stream.getvalue())] * 5
    return files
