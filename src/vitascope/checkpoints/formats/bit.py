"""The official flat .npz of big_transfer: BiT-ResNets (channels last), as `resnet/block1/unit01/a/…/kernel`."""

from __future__ import annotations

from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.checkpoints.formats.google import official_preprocess
from vitascope.checkpoints.formats.raw import Draft, RawCheckpoint
from vitascope.checkpoints.formats.sizes import Sizes
from vitascope.checkpoints.translate import Layout, Shape
from vitascope.checkpoints.unwrap import anchor
from vitascope.models.config import BiTConfig

ANCHOR = anchor("resnet/root_block/standardized_conv2d/kernel")
_UNIT, _OURS = "resnet/block{2}/unit{3:02d}", "stages.*.*"


def _leaf(own: str, shape: Shape) -> tuple[str, Shape | None, tuple[int, ...] | None]:
    if own == "head.linear.weight":  # a convolution of one pixel there
        return "/kernel", (1, 1, shape[1], shape[0]), (3, 2, 0, 1)
    if own == "head.linear.bias":
        return "/bias", None, None
    if len(shape) == 4:
        return "/standardized_conv2d/kernel", None, (3, 2, 0, 1)
    return "/gamma" if own.endswith("weight") else "/beta", None, None


LAYOUT = Layout(
    {
        "root": "resnet/root_block",
        **{f"{_OURS}.conv{i}": f"{_UNIT}/{part}" for i, part in enumerate("abc", start=1)},
        **{f"{_OURS}.norm{i}": f"{_UNIT}/{part}/group_norm" for i, part in enumerate("abc", start=1)},
        f"{_OURS}.shortcut": f"{_UNIT}/a/proj",
        "norm": "resnet/group_norm",
        "head.linear": "resnet/head/conv2d",
    },
    _leaf,
)


def widths(root: int) -> tuple[int, int]:
    """Width factor and base width of a root of so many channels: a factor of 64 where it can be."""
    return (root // 64, 64) if root % 64 == 0 else (1, root)


def read(raw: RawCheckpoint) -> Draft:
    """The model that the tensors are; raises `CheckpointError` where they are no BiT-ResNet."""
    sizes = Sizes(raw, raw.tensors, LAYOUT)
    width, channels, kernel, _ = sizes.shape("root.weight", 4)
    factor, base = widths(width)
    config = BiTConfig(
        image_size=raw.image_size or (raw.model.image_size if raw.model else (224, 224)),
        channels=channels,
        units=sizes.units(f"{_OURS}.conv1"),
        width_factor=factor,
        base_width=base,
        small_images=kernel == 3,
        classes=sizes.side("head.linear.weight", 2),
    )
    return Draft(config=config, layout=LAYOUT, tensors=raw.tensors, preprocess=official_preprocess(config))


def write(checkpoint: Checkpoint) -> RawCheckpoint:
    """The tensors alone: labels have no place in these files."""
    tensors = LAYOUT.to_theirs(checkpoint.model.state_dict(), checkpoint.config)
    return RawCheckpoint(tensors=tensors, model=checkpoint.config)
