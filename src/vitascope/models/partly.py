"""A model of which a part learns: what rests is frozen, without dropout, and no gradient comes to it.

A parameter says itself whether it learns (`requires_grad`), and all else follows from that: autograd keeps nothing for
the layers before the first that learns, and computes no gradient of a kernel at rest; optimiser, moving average and
processes have to do with the others alone.
"""

from __future__ import annotations

import torch
from torch import nn

from vitascope.layers.encoder import StochasticDepth
from vitascope.models.bit import BiT
from vitascope.models.catalogue import empty_model
from vitascope.models.learned import Learned, depth_of, layer_of
from vitascope.models.lora import add_factors, merged
from vitascope.models.vit import ViT


def partly(model: ViT | BiT, learned: Learned, generator: torch.Generator | None = None) -> ViT | BiT:
    """`model` itself, prepared so that only what is `learned` learns; `generator` draws factors.

    Raises `ConfigError` where it has no such part.
    """
    learned.check(model.config)
    if learned.part == "lora" and isinstance(model, ViT):
        add_factors(model.encoder.blocks, learned.number, generator)
    depth = depth_of(model.config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(learned.holds(name, depth))
    for name, module in list(model.named_modules()):
        rests = layer_of(name, depth) < learned.first_layer(depth)
        if rests and isinstance(module, nn.Dropout | StochasticDepth):
            model.set_submodule(name, nn.Identity())
    return model


def whole(model: ViT | BiT) -> ViT | BiT:
    """An ordinary model that computes what a `partly` learned one does; where nothing is merged, of its own tensors."""
    result = empty_model(model.config)
    result.load_state_dict(merged(model), assign=True)
    return result.train(model.training)
