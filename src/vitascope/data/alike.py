"""Which pictures of a set are near copies of each other: saved again, resized, brighter, blurred, cut, mirrored.

Every picture is looked at as 32×32 grey. Those whose 8×8 versions correlate best are laid over each other: shift and
stretch along both axes, gain and offset by Gauss-Newton (Lucas and Kanade, 1981). Where they lie, they must correlate
as they are, in their detail alone, as different pictures of similar light never do, and at nearly every place, as
different things before one background or in one frame do not. The same once more with one of each two mirrored.
`results/teach/near_copies.md` has the figures on photographs and CIFAR, and why a model's features decide nothing here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.data.source import Int64

SEARCH = 3
"""Another number whenever the same pictures may have other pairs."""
SIDE = 32
"""Pixels a side that are looked at."""
LEAST_SIDE = 32
"""Pictures with a shorter side below are not compared: too little is left to tell different ones apart."""
ALIKE, DETAIL = 0.93, 0.8
"""Least correlations of near copies: of the pictures, and of what a blur of 9 pixels takes away from them."""
EVERYWHERE, _WINDOW, _FAINT = 0.25, 3, 2.0
"""Correlation under a window of 2 · `_WINDOW` + 1 pixels, less where little varies, that all but a tenth of the places
reach; where both pictures vary by less than `_FAINT` grey levels nothing is asked."""
PLAIN = 4.0
"""Standard deviation in grey levels below which a picture has nothing to compare."""
_COARSE = 8
_CANDIDATES, _POSSIBLE = 4, 0.6  # the most similar at 8×8, from this correlation up
_BLOCK, _PAIRS = 1024, 128  # at once; more pairs would leave the processor's cache
_CELLS = 1 << 26  # similarities at once, 256 MB
_PROMISING = 0.88  # correlation at 16×16 of pairs that are worth a closer look
_STEPS, _HOPEFUL = 6, (0.4, 0.65, 0.78)  # of Gauss-Newton; pairs that correlate less after 0, 1, 2 … are given up
_LARGEST_MOVE, _LEAST_OVERLAP = 0.25, 0.64  # in halves of a side; share of the picture


def near_pairs(
    small: npt.NDArray[np.uint8], *, mirrored: bool = False, rows: Int64 | None = None, columns: Int64 | None = None
) -> Int64:
    """Pictures (n, SIDE, SIDE) → (m, 2) positions of near copies, the lower first, in order.

    `mirrored` finds those of which one is the other's mirror image, left and right exchanged, instead; `rows` and
    `columns`, positions, those of which one is among the first and the other among the second, where they are given.
    Copies of one picture need not all be paired with each other; what is plain (`PLAIN`) has no pair.
    """
    blocks = (small[at : at + _BLOCK] for at in range(0, len(small), _BLOCK))  # spread is counted in eight bytes
    kept = np.flatnonzero(np.concatenate([np.zeros(0), *(part.std(axis=(1, 2)) for part in blocks)]) >= PLAIN)
    pictures = torch.from_numpy(small[kept])
    others = pictures.flip(-1) if mirrored else pictures
    parts = (slice(None) if some is None else np.isin(kept, some) for some in (rows, columns))
    pairs = _candidates(pictures, others, *(torch.from_numpy(np.arange(len(kept))[part]) for part in parts))
    found = [_copies(pictures, others, part) for part in torch.split(pairs, _PAIRS)]
    chosen = pairs[torch.cat(found)] if found else pairs
    return kept[chosen.numpy()].reshape(-1, 2).astype(np.int64)


def _candidates(pictures: Tensor, others: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(m, 2) rising positions of pictures among `rows` and of others among `columns` that are most similar at 8×8."""
    found = [torch.zeros((0, 2), dtype=torch.int64)]
    if not len(rows) or not len(columns):
        return found[0]
    compared = _coarse(others[columns]).T
    for here in torch.split(rows, max(min(_BLOCK, _CELLS // len(columns)), 1)):
        similar = _coarse(pictures[here]) @ compared
        itself = torch.searchsorted(columns, here).clamp(max=len(columns) - 1)
        both = torch.nonzero(columns[itself] == here).flatten()
        similar[both, itself[both]] = -1
        best, other = similar.topk(min(_CANDIDATES, len(columns)))
        mine, place = torch.nonzero(best >= _POSSIBLE, as_tuple=True)
        pair = torch.stack([here[mine], columns[other[mine, place]]], dim=1)
        found.append(pair.sort(dim=1).values)
    return torch.from_numpy(np.unique(torch.cat(found).numpy(), axis=0))


def _coarse(pictures: Tensor) -> Tensor:
    """At 8×8, without mean and of length 1, (n, 64)."""
    parts = torch.split(pictures, _BLOCK)  # all of them in four bytes would take gigabytes
    coarse = torch.cat([F.avg_pool2d(part.float(), SIDE // _COARSE).flatten(1) for part in parts])
    return F.normalize(coarse - coarse.mean(dim=1, keepdim=True))


def _copies(pictures: Tensor, others: Tensor, pairs: Tensor) -> Tensor:
    """Whether each pair (m, 2), of a picture and another, is one of near copies, bool (m,)."""
    result = torch.zeros(len(pairs), dtype=torch.bool)
    first, second = _blurred(pictures[pairs[:, 0]].float()), _blurred(others[pairs[:, 1]].float())
    for one, other in ((first, second), (second, first)):  # one of them may show more, which only it can give up
        left = torch.nonzero(~result).flatten()
        if not len(left):
            break
        halves = [F.avg_pool2d(side[left], 2) for side in (one, other)]
        left = left[_laid_over(halves[0], halves[1], _PROMISING, None)]  # most are given up at a quarter of the cost
        result[left] = _laid_over(one[left], other[left], ALIKE, DETAIL)
    return result


def _laid_over(fixed: Tensor, moved: Tensor, least: float, least_detail: float | None) -> Tensor:
    """Whether `moved` (m, S, S), shifted and stretched, correlates so much with `fixed`, bool (m,)."""
    result = torch.zeros(len(fixed), dtype=torch.bool)
    left = torch.arange(len(fixed))
    move = torch.zeros(len(fixed), 4)  # shift and stretch along y, then x; from −1 to 1 is the whole side
    axis = torch.linspace(-1, 1, fixed.shape[-1])
    for step in range(_STEPS + 1):
        a, b = fixed[left], moved[left]
        y, x = (axis * (1 + move[:, at + 1, None]) + move[:, at, None] for at in (0, 2))  # (m, S)
        warped = _interpolation(y) @ b @ _interpolation(x).mT
        inside = ((y.abs() <= 1.001)[:, :, None] & (x.abs() <= 1.001)[:, None, :]).float()
        alike = _correlation(a, warped, inside)
        sane = (inside.mean(dim=(1, 2)) >= _LEAST_OVERLAP) & (move.abs().amax(dim=1) <= _LARGEST_MOVE)
        done = sane & (alike >= least)
        if least_detail is not None:
            fine, other = (part[done] - _blurred(part[done], 4) for part in (a, warped))
            detailed = _correlation(fine, other, inside[done]) >= least_detail
            done[done.clone()] = detailed & _everywhere(a[done], warped[done], inside[done])
        result[left[done]] = True
        go_on = ~done & sane & (alike >= _HOPEFUL[min(step, 2)])
        if step == _STEPS or not go_on.any():
            break
        a, warped, inside, move, left = (t[go_on] for t in (a, warped, inside, move, left))
        move = move + _step(a, warped, inside, axis)
    return result


def _step(a: Tensor, warped: Tensor, inside: Tensor, axis: Tensor) -> Tensor:
    """What of shift and stretch brings `warped` nearer to `a` (m, S, S): (m, 4), by least squares."""
    half = (len(axis) - 1) / 2
    dy, dx = torch.gradient(warped, dim=(1, 2))
    columns = (dy, dy * axis[:, None], dx, dx * axis, warped / half, torch.ones_like(warped))
    jacobian = torch.stack([(c * inside).flatten(1) for c in columns], dim=2) * half  # (m, S², 6)
    square = jacobian.mT @ jacobian + 1e-3 * torch.eye(len(columns))
    solved = torch.linalg.solve(square, jacobian.mT @ (a * inside).flatten(1)[:, :, None])[..., 0]
    gain = torch.where(solved[:, 4:5].abs() > 0.2, solved[:, 4:5], 1.0)
    return (solved[:, :4] / gain).clamp(-0.1, 0.1)


def _interpolation(places: Tensor) -> Tensor:
    """Linear interpolation at `places` (m, S) of −1 … 1 as matrices (m, S, S); beyond the edge, the edge."""
    side = places.shape[1]
    at = ((places.clamp(-1, 1) + 1) * (side - 1) / 2)[:, :, None]
    return (1 - (at - torch.arange(side)).abs()).clamp(min=0)


def _correlation(a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
    """Of two stacks of pictures (m, S, S) where `inside` is 1, (m,)."""
    count = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    a, b = ((t - (t * inside).sum(dim=(1, 2), keepdim=True) / count) * inside for t in (a, b))
    norm = (a.square().sum(dim=(1, 2)) * b.square().sum(dim=(1, 2))).sqrt()
    return (a * b).sum(dim=(1, 2)) / norm.clamp(min=1e-6)


def _everywhere(a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
    """Whether stacks of pictures (m, S, S) correlate by `EVERYWHERE` around nine of ten places inside, bool (m,)."""
    weight = _blurred(inside, _WINDOW).clamp(min=1e-3)
    of_a, of_b, squares_a, squares_b, products = (
        _blurred(t * inside, _WINDOW) / weight for t in (a, b, a.square(), b.square(), a * b)
    )
    spread_a, spread_b = ((s - mean.square()).clamp(min=0) for s, mean in ((squares_a, of_a), (squares_b, of_b)))
    alike = (products - of_a * of_b) / ((spread_a * spread_b).sqrt() + _FAINT**2)
    asked = (torch.maximum(spread_a, spread_b) >= _FAINT**2) & (inside > 0)
    return ((alike < EVERYWHERE) & asked).sum(dim=(1, 2)) <= 0.1 * asked.sum(dim=(1, 2))


def _blurred(pictures: Tensor, reach: int = 1) -> Tensor:
    """(m, S, S) under a binomial window of 2 · reach + 1 pixels a side."""
    beside = torch.arange(SIDE)
    once = torch.zeros(SIDE, SIDE)
    for shift, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        once[beside, (beside + shift).clamp(0, SIDE - 1)] += weight
    blur = torch.linalg.matrix_power(once, reach)
    return blur @ pictures.float() @ blur.mT
