"""The official flat .npz of big_transfer: BiT-ResNets (channels last), as `resnet/block1/unit01/a/…/kernel`."""

from __future__ import annotations

from vitascope.checkpoints.formats.found import Draft, Found, numbered
from vitascope.checkpoints.keys import Row, row
from vitascope.checkpoints.unwrap import anchor
from vitascope.data.preprocess import Preprocess
from vitascope.errors import CheckpointError
from vitascope.models.config import BiTConfig

ANCHOR = anchor(r"resnet/root_block/standardized_conv2d/kernel")
_CONVOLUTION = (3, 2, 0, 1)
_ROOT, _HEAD = "resnet/root_block/standardized_conv2d/kernel", "resnet/head/conv2d/kernel"


def read(found: Found) -> Draft:
    """Config and table for the tensors found; raises `CheckpointError` where they are no BiT-ResNet."""
    root = found.tensors.get(_ROOT)
    if root is None or root.ndim != 4:
        raise CheckpointError(f"{found.path}: {_ROOT} is missing or not of 4 axes; expected a BiT-ResNet's root")
    stages = numbered(found.tensors, r"resnet/block(\d+)/")
    units = tuple(numbered(found.tensors, rf"resnet/block{b}/unit(\d+)/") for b in range(1, stages + 1))
    kernel, _, channels, width = root.shape
    head = found.tensors.get(_HEAD)
    size = found.image_size or (found.model.image_size if found.model else (224, 224))
    config = BiTConfig(
        image_size=size,
        channels=channels,
        units=units,
        width_factor=width // 64 if width % 64 == 0 else 1,
        base_width=64 if width % 64 == 0 else width,
        small_images=kernel == 3,
        classes=head.shape[-1] if head is not None and head.ndim else 0,
    )
    return Draft(config=config, rows=rows(config), tensors=found.tensors, preprocess=usual_preprocess(config))


def usual_preprocess(config: BiTConfig) -> Preprocess:
    """The official test pipeline (`input_pipeline_tf2_or_jax.py`): both sides resized, to [−1, 1]."""
    return Preprocess(
        size=config.image_size, channels=config.channels, fit="squash", interpolation="bilinear", antialias=False
    )


def rows(config: BiTConfig) -> list[Row]:
    """The table of names and layouts."""
    table = [row("root.weight", _ROOT, axes=_CONVOLUTION)]
    for b, units in enumerate(config.units):
        for u in range(units):
            own, foreign = f"stages.{b}.{u}", f"resnet/block{b + 1}/unit{u + 1:02d}"
            for i, part in enumerate("abc", start=1):
                table += [
                    row(
                        f"{own}.conv{i}.weight",
                        f"{foreign}/{part}/standardized_conv2d/kernel",
                        axes=_CONVOLUTION,
                    ),
                    row(f"{own}.norm{i}.weight", f"{foreign}/{part}/group_norm/gamma"),
                    row(f"{own}.norm{i}.bias", f"{foreign}/{part}/group_norm/beta"),
                ]
            table.append(
                row(
                    f"{own}.shortcut.weight",
                    f"{foreign}/a/proj/standardized_conv2d/kernel",
                    axes=_CONVOLUTION,
                )
            )
    return [
        *table,
        row("norm.weight", "resnet/group_norm/gamma"),
        row("norm.bias", "resnet/group_norm/beta"),
        row("head.linear.weight", _HEAD, shape=(1, 1, config.features, config.classes), axes=_CONVOLUTION),
        row("head.linear.bias", "resnet/head/conv2d/bias"),
    ]
