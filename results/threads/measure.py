"""Images per second of training steps by threads and by how they wait, on a machine that may be busy.

Usage: [GOMP_SPINCOUNT=10000] python results/threads/measure.py THREADS
"""

from __future__ import annotations

import os
import sys
import time

import torch

import vitascope as vs

torch.set_num_threads(int(sys.argv[1]))
model = vs.create_model("ViT-Ti/4", classes=10, image_size=32).train()
images = torch.randn(32, 3, 32, 32)
model(images).square().sum().backward()
begun, steps = time.perf_counter(), 0
while time.perf_counter() - begun < 5:
    model(images).square().sum().backward()
    steps += 1
said = os.environ.get("GOMP_SPINCOUNT") or os.environ.get("OMP_WAIT_POLICY") or "as it comes"
print(f"{sys.argv[1]} threads, waiting {said}: {32 * steps / (time.perf_counter() - begun):.0f} images/s")
