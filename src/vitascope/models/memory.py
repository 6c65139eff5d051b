"""What a model takes in memory at most, by formula: weights, optimiser, gradients, and activations by batch.

Shapes: B batch, T tokens, D width, M hidden, h heads, L depth. Of one block the backward pass keeps, in values,

    8 BTD + 2 BTM + B h T²   (2 BTD of them always float32; no B h T² where attention is fused)

the inputs of both LayerNorms (float32); what they put out; q, k and v; attention's output; the attention weights; the
MLP's hidden layer after GELU, and GELU's derivative or argument. For M = 4D that is 16 BTD, 64 bytes a value of a
token in float32. With activation checkpointing it is BTD a block, and all of it for the one being computed again.

A bottleneck of a ResNet keeps what its norms got, what its ReLUs gave and what its convolutions got (`_unit`), and
twice its kernels, being standardised. Most kernels are where maps are small and come back first, so that gradients and
activations are there together.

Left out: the interpreter and libraries (about 300 MiB), the data set and its workers, what the allocator keeps without
need, work space inside products, Muon's iteration (10 bytes a value of the matrices, activations being gone), buckets
of several processes, and whatever `torch.compile` saves or adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from vitascope.models.catalogue import count_parameters
from vitascope.models.config import BiTConfig, ModelConfig, Size, StemConfig, ViTConfig
from vitascope.models.learned import ALL, Learned, depth_of
from vitascope.models.masked_config import MaskedConfig


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes, by what they are for."""

    weights: float
    """float32 weights, and their bfloat16 copies during a pass where products are in bfloat16."""
    optimizer: float
    """The optimiser's moments and the moving average of the weights."""
    gradients: float
    """Of all weights, float32."""
    activations: float
    """Images, and what the forward pass keeps for the backward pass."""
    working: float
    """What the backward pass holds besides, while it computes one block."""
    accumulated: bool
    """Gradients are there from the start, since a step has several micro-batches."""

    @property
    def peak(self) -> float:
        """The most there is at once. Activations go as gradients come, so that both are never there in full."""
        both = self.activations + self.gradients if self.accumulated else max(self.activations, self.gradients)
        return self.weights + self.optimizer + both + self.working


def training_memory(
    config: ModelConfig,
    batch: int,
    *,
    precision: str = "float32",
    optimizer: str = "adamw",
    ema: bool = False,
    checkpoint_activations: bool = False,
    fused_attention: bool = False,
    accumulated: bool = False,
    drop_tokens: float = 0.0,
    learned: Learned = ALL,
) -> Memory:
    """Of a training step on `batch` images at once, from the second step on.

    `precision` is "float32" or "bfloat16", that of products; `fused_attention` as on GPUs.
    """
    c, size = config, 4 if precision == "float32" else 2
    parameters = learned.parameters(c)
    # Images: uint8, normalised float32, and cast.
    kept = float(batch * c.channels * c.image_size[0] * c.image_size[1] * (5 if size == 4 else 5 + size))
    states, working = (1 if optimizer == "sgd" else 2) * parameters, 0.0
    if isinstance(c, ViTConfig):
        blocks, working = _blocks(c, batch, size, checkpoint_activations, fused_attention, drop_tokens, learned)
        kept += blocks
        if optimizer == "muon":  # one moment for matrices, two for the rest
            states -= learned.factors(c) if learned.part == "lora" else learned.blocks(c.depth) * c.kernels
    net = c.stem if isinstance(c, ViTConfig) else c
    if net is not None:
        first = learned.first_layer(depth_of(c))
        maps, unit = _convolutions(net, c.image_size, batch, size, checkpoint_activations, first)
        if first and isinstance(c, ViTConfig):  # a stem at rest is done before the rest begins
            unit -= max(kept, 4.0 * parameters)
        kept, working = kept + maps, max(working, unit)
    return Memory(
        weights=(4.0 if size == 4 else 6.0) * (count_parameters(c) + learned.factors(c)),
        optimizer=4.0 * (states + ema * parameters),
        gradients=4.0 * parameters,
        activations=kept,
        working=working,
        accumulated=accumulated or net is not None,
    )


def masked_memory(config: ViTConfig, masked: MaskedConfig, batch: int, **options: Any) -> Memory:
    """Of a step on `batch` masked images at once: the encoder, whose tokens all come out, the decoder, what they say.

    `options` as for `training_memory`; what is hidden from the encoder takes the place of `drop_tokens`.
    """
    patches = config.grid[0] * config.grid[1]
    hidden = masked.hidden(patches)
    unseen = hidden / patches if masked.autoencoder else 0.0
    read = replace(config, classes=0, pooling="mean")
    parts = [training_memory(read, batch, **{**options, "drop_tokens": unseen})]
    if masked.autoencoder:
        parts.append(training_memory(masked.decoder(config), batch, **{**options, "drop_tokens": 0.0}))
    said = 4.0 * batch * hidden * masked.outputs(config)
    return Memory(
        weights=sum(part.weights for part in parts),
        optimizer=sum(part.optimizer for part in parts),
        gradients=sum(part.gradients for part in parts),
        # Of colours their softmax is kept; of pixels the difference, and what it is taken from.
        activations=sum(part.activations for part in parts) + (1 if masked.tells_classes else 2) * said,
        working=max(said, *(part.working for part in parts)),
        accumulated=parts[0].accumulated,
    )


def _blocks(
    c: ViTConfig, batch: int, size: int, checkpointed: bool, fused: bool, drop_tokens: float, learned: Learned
) -> tuple[float, float]:
    """Bytes that a Transformer keeps, and that the backward pass of a block holds besides, or a block at rest."""
    tokens = c.prefix + (1 - drop_tokens) * (c.tokens - c.prefix)
    bt = batch * tokens
    btd, bti, btm, bhtt = bt * c.width, bt * c.inner, bt * c.hidden, 0.0 if fused else bt * tokens * c.heads
    masks = size * (2 * btd + btm) if c.dropout else 0.0
    # With relative positions q and k once more, T channels wider.
    wider = size * 2 * (bti + bt * tokens * c.heads) if c.positions == "relative" else 0.0
    scaled = size * 2 * btd if c.layer_scale is not None and learned.part != "lora" else 0.0
    low = size * bt * learned.number if learned.part == "lora" else 0.0  # x Aᵀ of a kernel with factors
    # The quick GELU keeps its argument and its sigmoid; a gate, its argument, its SiLU and what that multiplies.
    gates = size * btm * (2 if c.gated_mlp else c.gelu == "quick")
    block = (
        4 * 2 * btd
        + size * (2 * btd + 4 * bti + 2 * btm + bhtt)
        + gates
        + masks
        + wider
        + scaled
        + (5 if c.gated_mlp else 4) * low
    )
    blocks, begins = learned.blocks(c.depth), learned.first_layer(c.depth) == 0
    # Where the head reads the class token alone, the last block computes no other: its input, normed, and k and v.
    tail = 4 * btd + size * (btd + 2 * bti) + low if c.first_read else block
    if checkpointed:
        kept = blocks * 4 * btd
    else:
        kept = (blocks - 1) * block + tail if blocks else 0.0
        # No gradient comes to the input of the first LayerNorm.
        kept -= 4 * btd if learned.part == "lora" else 0.0
    kept += 4 * btd if blocks and not c.first_read and c.norm == "tokens" else 0.0  # what the final LayerNorm got
    if c.pooling == "attention" and blocks:  # all tokens, their keys and values
        kept += size * (btd + 2 * bti)
    if begins:
        kept += 4 * btd if c.norm_before else 0.0
        kept += size * btd if c.dropout else 0.0
        kept += 4 * batch * c.tokens * c.width if drop_tokens else 0.0  # what the tokens were drawn from
        if c.patch_norms:  # pixels before and after their norm, the token before its own
            pixels = c.patch**2 * (c.stem.channels if c.stem else c.channels)
            kept += batch * (c.tokens - c.prefix) * ((4 + size) * pixels + 4 * c.width)
    # What the MLP's kernels send back, and their factors, or both sides of a gate.
    mlp = 4 * btd + size * btm * (2 if learned.part == "lora" or c.gated_mlp else 1)
    attention = 4 * btd + size * (2 * bhtt + 3 * bti) - size * 2 * btm
    if not blocks:
        return kept, 4 * 2 * btd + size * (2 * btd + (3 if c.gated_mlp else 2) * btm)
    working = max(mlp, attention)
    if checkpointed:
        working += (block if blocks > 1 else tail) - 4 * btd
    elif learned.part == "last" and c.first_read and blocks > 1:  # gradients of the last block, nothing being gone yet
        working += 4 * c.kernels
    return kept, working


def _convolutions(
    net: StemConfig | BiTConfig, image_size: Size, batch: int, size: int, checkpointed: bool, first: int
) -> tuple[float, float]:
    """Bytes that a ResNet or a hybrid's stem keeps, and that the backward pass of its largest unit holds besides.

    Layers before the `first` that learns keep nothing, as the whole of a stem where that is not the first of all.
    """
    pixels, inputs, stem = float(image_size[0] * image_size[1]), net.root_channels, isinstance(net, StemConfig)
    maps, kernels, largest = 0.0, 0.0, 0.0
    if net.small_images and stem:  # what the root's norm got
        maps, largest = inputs * pixels * (not first), (3 if first else 2) * batch * inputs * pixels
    elif not net.small_images:
        # What the pooling got, padded, and its places, 8 bytes each; before them, in a stem, a norm and a ReLU.
        maps = (3 if stem else 1) * inputs * pixels / 4 + 8 / size * inputs * pixels / 16
        largest = (3 if first else 2) * batch * inputs * pixels / 4
        pixels /= 16
        maps = 0.0 if first else maps
    for stage, count in enumerate(net.units):
        narrow = net.root_channels * 2**stage
        for number in range(count):
            after = pixels / (4 if number == 0 and stage > 0 else 1)
            unit = batch * _unit(inputs, narrow, pixels, after, stem)
            weights = 2.0 * narrow * (inputs + 13 * narrow + (4 * inputs if number == 0 else 0))
            learns = not first if stem else stage + 1 >= first
            maps += (inputs * pixels if checkpointed else unit / batch) * learns
            kernels += 0 if checkpointed else weights * learns
            if learns:
                largest = max(largest, (1 + checkpointed) * unit + checkpointed * weights)
            else:  # what it passes on, and how its kernels are standardised
                largest = max(largest, batch * _passed(inputs, narrow, pixels, after, stem), 2.5 * 9 * narrow**2)
            inputs, pixels = 4 * narrow, after
    maps += (1 if stem else 2) * inputs * pixels * (not first if stem else first <= len(net.units))
    return size * (batch * maps + kernels), 4 * largest


def _passed(inputs: int, narrow: int, before: float, after: float, stem: bool) -> float:
    """Values that a bottleneck holds of an image where nothing is kept for a backward pass."""
    wide = 4 * narrow * after
    if stem:
        return inputs * before + 4 * wide
    projected = wide if inputs != 4 * narrow or before != after else 0.0
    return 2 * inputs * before + projected + max(3 * narrow * before, 2 * wide)


def _unit(inputs: int, narrow: int, before: float, after: float, stem: bool) -> float:
    """Values that a bottleneck keeps of an image, its maps having so many places before and after its stride."""
    if not stem:  # its input, and that after norm and ReLU; twice each of two narrow maps
        return 2 * (inputs * before + narrow * (before + after))
    wide = 4 * narrow * after * (2 if inputs != 4 * narrow or before != after else 1)
    return inputs * before + narrow * (3 * before + 2 * after) + wide  # a narrow one padded besides
