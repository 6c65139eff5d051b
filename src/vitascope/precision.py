"""Which number format is fast here: measured once per machine in a fraction of a second, then remembered.

bfloat16 products are five times float32's on a CPU with AMX, twice on one with AVX-512 bf16, and slower than
float32 on others. float16 is never chosen on a CPU: some run it sixty times slower than float32.
"""

from __future__ import annotations

import logging
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vitascope.cache import cache_folder
from vitascope.errors import ConfigError
from vitascope.whole import recall, remember

log = logging.getLogger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16")
_WORTH_IT = 1.25
"""bfloat16 must be this many times faster in products: casts and everything else gain nothing."""
_MEMORY = "precision.json"


def processor() -> str:
    """Name of the CPU, with the instructions that matter here, for result files and as the key of measurements."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = " ".join(f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f" {f} " in f" {value} ")
        return f"{name} ({flags})" if flags else name
    except OSError:  # no /proc outside Linux
        return name


def resolve_precision(wanted: str, device: torch.device) -> str:
    """ "auto" → "float32" or "bfloat16", whichever is faster on `device`; raises `ConfigError` for other names."""
    if wanted not in PRECISIONS:
        raise ConfigError(f"precision is {wanted!r}, expected one of {', '.join(PRECISIONS)}")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        # Older GPUs only emulate it, slower than float32.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and bfloat16_gain() >= _WORTH_IT else "float32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a forward pass computes in `precision` ("float32" or "bfloat16")."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


@lru_cache(maxsize=1)
def bfloat16_gain() -> float:
    """How many times faster this CPU multiplies bfloat16 matrices than float32; remembered in the cache folder."""
    key = f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    known = recall(cache_folder() / _MEMORY, key)
    if isinstance(known, float | int):
        return float(known)
    gain = _measure_gain()
    fast, slow, ratio = ("bfloat16", "float32", gain) if gain >= 1 else ("float32", "bfloat16", 1 / max(gain, 0.001))
    log.info("measured: %s products are %.1f times as fast as %s on this processor", fast, ratio, slow)
    remember(cache_folder() / _MEMORY, key, gain)
    return gain


def _measure_gain() -> float:
    # The products of a small ViT's MLP, for few rows first: a processor without bfloat16 instructions can be a
    # hundred times slower, and must not be waited for.
    gain = 0.0
    for rows in (32, 256, 2048):
        gain = _gain_at(rows)
        if gain < 1.0:
            break
    return round(gain, 2)


@torch.no_grad()
def _gain_at(rows: int) -> float:
    # Interleaved, and the best of several, because other work may interfere.
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    operands = {dtype: (torch.ones(rows, 384, dtype=dtype), torch.ones(384, 1024, dtype=dtype)) for dtype in best}
    for _ in range(6):
        for dtype, (a, b) in operands.items():
            start = time.perf_counter()
            a @ b
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
