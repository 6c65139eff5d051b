"""What people take for weights and is none: told by its first bytes, with the way out."""

from __future__ import annotations

from collections.abc import Sequence

_STARTS = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file it points to: run `git lfs pull`, or fetch it",
    ),
    (b"<!doctype html", "a web page saved under this name: fetch the file itself, not the page about it"),
    (b"<html", "a web page saved under this name: fetch the file itself, not the page about it"),
    (b"\x89hdf\r\n\x1a\n", "an HDF5 file (Keras), which is not read: take the same model's safetensors or .npz file"),
    (b"gguf", "a GGUF file, which is not read: take the same model's safetensors file"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"bzh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zxz", "an xz archive: unpack it first"),
)


def what_else(name: str, start: bytes, members: Sequence[str]) -> str | None:
    """What a file is instead of weights, and what to do, by its first bytes and, of an archive, what lies in it.

    None where it may be weights.
    """
    if not start:
        return "empty file; fetch or save it again"
    told = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for known, what in _STARTS:
        if told.startswith(known):
            return what
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    return _archive(name, members) if members else None


def _archive(file: str, names: Sequence[str]) -> str | None:
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return (
            "a TorchScript archive, which holds a program: write its weights with "
            f"torch.save(torch.jit.load('{file}').state_dict(), 'weights.pth')"
        )
    if any(name.startswith(("models/", "data/weights/")) for name in inside) or "archive_format" in inside:
        return "a torch.export program: write the weights of the model it was made from with torch.save"
    if "data.pkl" in inside or all(name.endswith(".npy") for name in names):
        return None
    return f"a zip archive of other things ({', '.join(names[:3])[:80]}): unpack it first"
