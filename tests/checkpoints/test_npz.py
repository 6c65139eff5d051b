from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vitascope.checkpoints import tensor_file
from vitascope.checkpoints.tensor_file import read_tensors, write_npz
from vitascope.errors import CheckpointError


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {
        "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">f4"),
        "scalar": np.float32(2),
        "half": np.arange(3, dtype=np.float16),
        "step": np.array(7),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        tensors = read_tensors(tmp_path / "a.npz").tensors
        assert tensors.keys() == arrays.keys()
        for name, array in arrays.items():
            assert tensors[name].shape == array.shape
            np.testing.assert_array_equal(tensors[name].numpy(), array)


def test_bfloat16_without_a_type_is_read(tmp_path: Path) -> None:
    values = torch.randn(3, 4).bfloat16()
    np.savez(tmp_path / "a.npz", a=values.view(torch.int16).numpy().view("V2"))
    tensor = read_tensors(tmp_path / "a.npz").tensors["a"]
    assert tensor.dtype == torch.bfloat16
    assert torch.equal(tensor, values)


def test_what_is_written_numpy_reads(tmp_path: Path) -> None:
    tensors = {"Transformer/a": torch.randn(2, 3), "c": torch.randn(1), "b/c": torch.randn(4).reshape(2, 2).T}
    write_npz(tmp_path / "a.npz", tensors)
    back = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert set(back.files) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor.numpy())


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


def test_objects_are_refused_and_no_code_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = npy(np.array([Canary(canary)], dtype=object), allow_pickle=True)
    path = archive(tmp_path / "a.npz", {"a.npy": data})
    with pytest.raises(CheckpointError, match="Python objects, which are never loaded"):
        read_tensors(path)
    assert not canary.exists()


def header_claiming(shape: tuple[int, ...], data: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize("shape", [(100_000, 1_000_000), (1 << 62, 1 << 62), (-3,), (2,), (4, 1), ()], ids=str)
def test_a_shape_without_its_bytes_is_refused_before_memory_is_taken(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": header_claiming(shape, b"\0" * 12)})
    with pytest.raises(CheckpointError, match=r"claims shape|damaged"):
        read_tensors(path)


def test_373_gib_are_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": header_claiming((100_000, 1_000_000), b"")})
    with pytest.raises(CheckpointError, match=r"a\.npz: a claims .*372\.5 GiB.* but has 0 bytes"):
        read_tensors(path)


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_file, "_SLACK", 1 << 20)
    data = header_claiming((1 << 20,), b"") + bytes(4 << 20)
    path = archive(tmp_path / "a.npz", {"a.npy": data}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"claims 4\.0 MiB of arrays in a file of 4\.\d KiB"):
        read_tensors(path)


def test_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(1000))
    monkeypatch.setattr(tensor_file, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="at most"):
        read_tensors(tmp_path / "a.npz")


def test_damage_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(50.0), b=np.ones(7))
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    for position in (200, 300, 400):  # in the data of the first array: the archive's own sum notices
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            read_tensors(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_things_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as file:
        file.writestr("a.npy", npy(np.ones(2)))
        file.writestr("a.npy", npy(np.ones(2)))
    with pytest.raises(CheckpointError, match="a twice"):
        read_tensors(tmp_path / "twice.npz")
    for kind in ("U4", "M8[s]", "c8", np.dtype([("x", "f4")])):
        path = archive(tmp_path / "kind.npz", {"a.npy": npy(np.zeros(2, dtype=kind))})
        with pytest.raises(CheckpointError, match="expected"):
            read_tensors(path)
    with pytest.raises(CheckpointError, match="other things"):
        read_tensors(archive(tmp_path / "text.npz", {"readme.txt": b"hello"}))
