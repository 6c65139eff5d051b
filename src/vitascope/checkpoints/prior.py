"""Class priors, restated: how often each class occurs where a model is used, in place of how often it was taught.

Probabilities p(k|x) that were learned where class k has the share π_k become p(k|x)·π'_k/π_k, normalised, where it has
π'_k: log(π'_k/π_k) is added to its logit, once, in the head's bias, so that whatever runs the model has it.

Source: Saerens, Latinne and Decaestecker (2002), for priors that are known.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import yaml

from vitascope.checkpoints.adapt import assemble
from vitascope.checkpoints.checkpoint import Checkpoint
from vitascope.errors import ConfigError
from vitascope.wording import meant, some
from vitascope.yaml_text import check_yaml

log = logging.getLogger(__name__)

Prior = Mapping[str, float] | str
"""Class → its share, above 0, or that as text: "{cat: 0.9, dog: 0.1}". Classes that are not named share what is left as
they did before."""
CARD = "prior"
"""Where a checkpoint's card says the shares that its probabilities hold for: a list in the order of the classes."""
_ROUNDING = 1e-3
"""By which shares of all classes may miss 1."""


@torch.inference_mode(False)
def with_prior(checkpoint: Checkpoint, prior: Prior) -> Checkpoint:
    """The checkpoint for data of these class shares; its prediction sets end, because they held for others.

    Where the card says nothing of the shares it learned from, they count as equal, which is said. Raises `ConfigError`.
    """
    if checkpoint.activation != "softmax" or not checkpoint.labels:
        raise ConfigError("prior is for a model that tells one class of several")
    if len(set(checkpoint.labels)) < len(checkpoint.labels):
        raise ConfigError("prior needs classes of different names; give --labels")
    known, labels = checkpoint.card.get(CARD), checkpoint.labels
    if not isinstance(known, list) or len(known) != len(labels):
        log.info("what shares of classes the model learned from is not recorded: they are taken as equal")
        known = [1 / len(labels)] * len(labels)
    after = _shares(prior, dict(zip(labels, known, strict=True)))
    moved = torch.tensor([math.log(after[name] / share) for name, share in zip(labels, known, strict=True)])
    state = checkpoint.model.state_dict()
    state["head.linear.bias"] = state["head.linear.bias"] + moved.to(state["head.linear.bias"])
    if checkpoint.sets is not None:
        log.warning("prediction sets were calibrated for other shares of the classes, and are left out")
    card = {**checkpoint.card, CARD: [after[name] for name in labels]}
    return replace(checkpoint, model=assemble(checkpoint.config, state), sets=None, card=card)


def _shares(prior: Prior, before: Mapping[str, float]) -> dict[str, float]:
    """The share of each class of `before`, in its order; raises `ConfigError`."""
    given: Any = prior
    if isinstance(prior, str):
        try:
            given = yaml.safe_load(check_yaml(prior))
        except yaml.YAMLError:
            given = None
    expected = "expected shares by class, such as {cat: 0.9, dog: 0.1}"
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"prior is {str(prior)[:60]!r}, {expected}")
    named = {str(name): share for name, share in given.items()}
    for name, share in named.items():
        if name not in before:
            raise ConfigError(f"prior names {name!r}, which is no class; {meant(name, before)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ConfigError(f"prior of {name!r} is {share!r}, expected a share above 0 and up to 1")
    total, others = sum(named.values()), [name for name in before if name not in named]
    if others and not total < 1:
        raise ConfigError(f"prior leaves nothing for {some(others, 4)}: the shares given add up to {total:g}")
    if not others and abs(total - 1) > _ROUNDING:
        raise ConfigError(f"prior adds up to {total:g}, expected 1")
    rest = sum(before[name] for name in others)
    shares = {name: named.get(name, (1 - total) * before[name] / rest if rest else 0.0) for name in before}
    return {name: share / sum(shares.values()) for name, share in shares.items()}
