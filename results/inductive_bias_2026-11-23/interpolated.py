"""How two-dimensional do random positions become by resizing alone, from the 4×4 of training to the 8×8 looked at?

`python interpolated.py`: of the positions of 20 untrained models of each width, mean and standard deviation of what the
study calls positions' correlation, with distance in the image and along the row of tokens. A second.
"""

import statistics

import torch

from vitascope.checkpoints.adapt import resize_model
from vitascope.models.catalogue import build_model
from vitascope.models.config import ViTConfig
from vitascope.views.positions import position_locality

for width in (128, 256):
    config = ViTConfig(image_size=(32, 32), patch=8, width=width, depth=1, heads=4, hidden=16, classes=3)
    models = [resize_model(build_model(config, torch.Generator().manual_seed(seed)), 64) for seed in range(20)]
    found = [position_locality(model).as_json() for model in models]
    for measure in ("correlation", "raster_correlation"):
        values = [each[measure] for each in found]
        print(width, measure, f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}")
