"""The names of the formats that can be written; free of torch, because the command line lists them in its help."""

from typing import Literal

FormatName = Literal["vitascope", "google", "timm", "huggingface", "torchvision", "vit-pytorch"]
FORMATS: dict[str, tuple[str, ...]] = {
    "vitascope": (),
    "google": (".npz",),
    "timm": (),
    "huggingface": (),
    "torchvision": (".safetensors", ".pth", ".pt"),
    "vit-pytorch": (".safetensors", ".pth", ".pt"),
}
"""Name → endings of its file, which decide what is written; none where it is a folder."""

WEIGHT_ENDINGS = {".safetensors", ".npz", ".bin", ".pth", ".pt", ".ckpt"}
"""What a file's name ends with where weights are expected in it."""
