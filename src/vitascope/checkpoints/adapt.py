"""Fitting a trained model to another task: a new head, another image size (Section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vitascope.fields import height_width
from vitascope.layers.position import Positions, Positions2d
from vitascope.layers.relative import Relative
from vitascope.models.bit import BiT
from vitascope.models.catalogue import empty_model
from vitascope.models.config import ModelConfig, ViTConfig
from vitascope.models.vit import ViT


def assemble(config: ModelConfig, state: Mapping[str, Tensor]) -> ViT | BiT:
    """The model of this config around these very tensors (not copies), in evaluation mode."""
    model = empty_model(config)
    model.load_state_dict(state, assign=True)
    return model.eval()


@torch.inference_mode(False)
def replace_head(model: ViT | BiT, classes: int) -> ViT | BiT:
    """The model with a new zero-initialised linear layer D×K, as fine-tuning starts (Section 3.2).

    The hidden layer of a pre-training head is dropped, as the official code drops `pre_logits`. `classes=0`
    leaves no head. The other weights are the old model's own tensors; the old model should not be used on.
    Raises `ConfigError`.
    """
    config: ModelConfig = replace(model.config, classes=classes, head_bias=0.0)
    if isinstance(config, ViTConfig):
        config = replace(config, representation_size=None, representation_activation="gelu")
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(("head.hidden.", "head.linear."))
    }
    if classes:
        inputs = config.pooled if isinstance(config, ViTConfig) else config.features
        like = next(iter(state.values()))
        state["head.linear.weight"] = like.new_zeros(classes, inputs)
        state["head.linear.bias"] = like.new_zeros(classes)
    return assemble(config, state).train(model.training)


@torch.inference_mode(False)
def with_outputs(model: ViT | BiT, outputs: Sequence[int]) -> ViT | BiT:
    """The model with these of its outputs, in this order; the other weights are the old model's own tensors."""
    state = model.state_dict()
    state |= {name: state[name][list(outputs)].clone() for name in ("head.linear.weight", "head.linear.bias")}
    return assemble(replace(model.config, classes=len(outputs)), state).train(model.training)


@torch.inference_mode(False)
def without_classes(model: ViT | BiT) -> ViT | BiT:
    """The model that gives its features, what its last linear layer sees; a hidden layer before that one stays.

    The other weights are the old model's own tensors.
    """
    config: ModelConfig = replace(model.config, classes=0)
    state = model.state_dict()
    return assemble(config, {name: state[name] for name in empty_model(config).state_dict()}).train(model.training)


@torch.inference_mode(False)
def resize_model(model: ViT | BiT, image_size: int | tuple[int, int]) -> ViT | BiT:
    """The model with positions stored for another image size, resized once by the official rule (Section 3.2).

    The other weights are the old model's own tensors. Raises `ConfigError` where the patch does not divide it.
    """
    size = height_width(image_size, "image_size")
    if size == model.config.image_size:
        return model
    config = replace(model.config, image_size=size)
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(config, ViTConfig) and isinstance(module, Positions | Positions2d | Relative):
            with torch.no_grad():
                state |= {f"{name}.{key}": table for key, table in module.resized(config).items()}
    return assemble(config, state).train(model.training)
