"""Time and memory of the solution alone, after the features. `solution.py [IMAGES …]`; one process for each number.

Random features of width 768 and ten classes; the time does not depend on their values. Seconds of one core. The peak is
that of the process, less what it took before there were features.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

WIDTH, CLASSES = 768, 10


def formula(n: int) -> float:
    """Bytes: features in float32, and twice in float64 while their deviation is computed; targets, scores,
    some rows with what is made of them, and XᵀX with its eigenvectors."""
    return 20 * n * WIDTH + 24 * n * CLASSES + 24 * min(n, 4096) * WIDTH + 48 * WIDTH**2


def measure(n: int) -> dict[str, object]:
    """In this process."""
    import numpy as np

    from vitascope.evaluation.fewshot import signs
    from vitascope.evaluation.forecast import forecast
    from vitascope.evaluation.taught import teach_head

    def peak() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    few = np.random.default_rng(0).normal(size=(100, WIDTH)).astype(np.float32)
    teach_head(few, signs(np.arange(100) % CLASSES, CLASSES))  # libraries are loaded
    before, rng = peak(), np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, n)
    features = 0.3 * rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)[labels]
    for first in range(0, n, 1000):
        features[first : first + 1000] += rng.normal(size=features[first : first + 1000].shape).astype(np.float32)
    start = time.process_time()
    head = teach_head(features, signs(labels, CLASSES))
    solved = time.process_time()
    taught = peak() - before
    forecast(features, labels, head.left_out, np.arange(n))
    return {
        "images": n,
        "width": WIDTH,
        "classes": CLASSES,
        "seconds_head": round(solved - start, 2),
        "seconds_forecast": round(time.process_time() - solved, 2),
        "peak_mb": round(taught / 1e6),
        "formula_mb": round(formula(n) / 1e6),
        "peak_mb_with_forecast": round((peak() - before) / 1e6),
    }


def main(images: list[int]) -> None:
    from shared import keep

    rows = []
    for n in images:
        told = subprocess.run(
            [sys.executable, __file__, "--one", str(n)], check=True, stdout=subprocess.PIPE, text=True
        )
        rows.append(json.loads(told.stdout))
    keep("solution", rows, width=WIDTH)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
    else:
        main([int(word) for word in sys.argv[1:]] or [1_000, 10_000, 100_000])
