from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

import vitascope as vs
from tiny_checkpoint import TINY, checkpoint
from vitascope.checkpoints import tensor_file
from vitascope.checkpoints.json_file import LARGEST_JSON
from vitascope.checkpoints.tensor_file import read_safetensors, read_tensors, write_safetensors
from vitascope.errors import CheckpointError

TENSORS = {
    "a": torch.arange(12.0).reshape(3, 4),
    "scalar": torch.tensor(3.5),
    "half": torch.randn(5).half(),
    "brain": torch.randn(2, 3).bfloat16(),
    "empty": torch.zeros(1, 0, 4),
    "count": torch.tensor([1, 2, 3]),
    "Ünïcode.名": torch.ones(2),
}


def raw(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_tensors_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"tensor {i}" for i in range(40, 0, -1)]
    header = {name: entry(4 * i, 4 * i + 4, [1]) for i, name in enumerate(names)}
    (tmp_path / "a").write_bytes(raw(header, bytes(4 * len(names))))
    assert list(read_safetensors(tmp_path / "a").tensors) == names


def test_the_library_reads_what_is_written_and_the_reverse(tmp_path: Path) -> None:
    digest = write_safetensors(tmp_path / "ours", TENSORS, {"k": "v"})
    assert digest == hashlib.sha256((tmp_path / "ours").read_bytes()).hexdigest()
    theirs = load_file(tmp_path / "ours")
    with safetensors.safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == {"format": "pt", "k": "v"}
    save_file(TENSORS, tmp_path / "theirs", {"k": "v"})
    ours = read_safetensors(tmp_path / "theirs")
    assert ours.metadata == {"k": "v"}
    assert ours.sha256 == hashlib.sha256((tmp_path / "theirs").read_bytes()).hexdigest()
    for name, tensor in TENSORS.items():
        for other in (theirs[name], ours.tensors[name]):
            assert other.dtype == tensor.dtype
            assert torch.equal(other, tensor)


GOOD = entry(0, 8, [2])
BAD = {
    "no header": b"\x00" * 4,
    "header of 2^60": raw(b"{}", length=1 << 60),
    "header longer than the file": raw({"a": GOOD}, b"\0" * 8, length=1000),
    "header of nothing": raw(b""),
    "no JSON": raw(b"{" + b"x" * 20),
    "not UTF-8": raw(b'{"\xff": 1}'),
    "deep nesting": raw(b'{"a":' * 50_000),
    "header a list": raw(b"{ ", length=2),
    "duplicate names": raw(b'{"a":%s,"a":%s}' % ((json.dumps(GOOD).encode(),) * 2), b"\0" * 8),
    "duplicate keys in an entry": raw(b'{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
    "overlap": raw({"a": GOOD, "b": entry(4, 12, [2])}, b"\0" * 12),
    "the same bytes twice": raw({"a": GOOD, "b": GOOD}, b"\0" * 8),
    "gap": raw({"a": GOOD, "b": entry(12, 20, [2])}, b"\0" * 20),
    "bytes after the end": raw({"a": GOOD}, b"\0" * 12),
    "truncated data": raw({"a": GOOD}, b"\0" * 7),
    "huge shape": raw({"a": entry(0, 8, [1 << 40])}, b"\0" * 8),
    "shape that overflows": raw({"a": entry(0, 0, [1 << 62, 1 << 62, 0])}),
    "negative shape": raw({"a": entry(0, 8, [-2])}, b"\0" * 8),
    "shape of truth values": raw(b'{"a":{"dtype":"F32","shape":[true,2],"data_offsets":[0,8]}}', b"\0" * 8),
    "offsets reversed": raw({"a": entry(8, 0, [2])}, b"\0" * 8),
    "offsets of floats": raw(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0.0,8.0]}}', b"\0" * 8),
    "unknown dtype": raw({"a": entry(0, 8, [2], "C64")}, b"\0" * 8),
    "a dtype PyTorch lacks": raw({"a": entry(0, 8, [16], "F4")}, b"\0" * 8),
    "dtype a list": raw(b'{"a":{"dtype":[],"shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
    "entry a number": raw({"a": 1}),
    "line break in a name": raw({"a\nb": GOOD}, b"\0" * 7),
    "metadata a list": raw({"__metadata__": ["a"], "a": GOOD}, b"\0" * 8),
    "metadata of numbers": raw({"__metadata__": {"a": 1}, "a": GOOD}, b"\0" * 8),
    "no tensors": raw({}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_damaged_and_lying_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(BAD[name])
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.zeros(3, dtype=torch.complex64), r"not floating point: norm\.bias is complex64"),
        (torch.zeros(64).to(torch.float8_e4m3fn), r"not floating point: norm\.bias is float8_e4m3fn"),
        (torch.zeros([1] * 99), r"wrong shape: norm\.bias is 1×1×1"),
    ],
)
def test_what_the_library_reads_and_no_model_has_is_refused_by_name(
    tensor: torch.Tensor, expected: str, tmp_path: Path
) -> None:
    vs.save(checkpoint(replace(TINY, gelu="erf", width=64, heads=1)), tmp_path / "out", format="timm")
    tensors = read_tensors(tmp_path / "out" / "model.safetensors").tensors
    save_file(tensors | {"norm.bias": tensor}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=expected) as caught:
        vs.load(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def refused_unread(path: Path, said: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said):
            read_safetensors(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_lying_header_is_refused_before_the_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(raw(b'{"a":%s,"a":%s}' % ((json.dumps(GOOD).encode(),) * 2)))
        file.truncate(8 << 30)  # takes no room on the disk
    refused_unread(path, r"model\.safetensors: damaged JSON \(name 'a' occurs twice")


def test_a_header_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(raw(b"{", length=LARGEST_JSON + 1))
        file.truncate(LARGEST_JSON + 100)  # long enough to hold it, and takes no room on the disk
    refused_unread(path, r"model\.safetensors: truncated or damaged \(header of")


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", TENSORS, {})
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_is_written_may_be_a_view_or_need_gradients(tmp_path: Path) -> None:
    whole = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4))
    write_safetensors(tmp_path / "views", {"t": whole.t(), "top": whole[:1], "rest": whole[1:]}, {})
    back = read_safetensors(tmp_path / "views").tensors
    assert torch.equal(back["t"], whole.t())
    assert torch.equal(torch.cat([back["top"], back["rest"]]), whole)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(8.0)}, {})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_tensors(path)


def test_the_size_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.zeros(1000)}, {})
    monkeypatch.setattr(tensor_file, "MAX_BYTES", 1024)
    with pytest.raises(CheckpointError, match=r"at most 1\.0 KiB"):
        read_safetensors(path)


def test_tensors_own_their_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": torch.arange(4.0)}, {})
    tensor = read_safetensors(path).tensors["a"]
    path.write_bytes(b"")  # a memory-mapped file would take the process down with it
    assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0]
