"""Images per second of training steps of 64 with both models, alone on the machine. Usage: rate.py > rate.json"""

import json
import time

import torch

from vitascope.models.catalogue import create_model
from vitascope.precision import processor

MODELS = {"ViT-Ti/4": {}, "BiT-R50x1": {"base_width": 32, "small_images": True}}
BATCH, STEPS = 64, 2

rates = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    for name, fields in MODELS.items():
        for size in (32, 48):
            model = create_model(name, image_size=size, classes=10, **fields).train()
            optimizer = torch.optim.AdamW(model.parameters(), fused=True)
            images, labels = torch.randn(BATCH, 3, size, size), torch.zeros(BATCH, dtype=torch.long)
            for step in range(STEPS + 1):  # the first warms up
                if step == 1:
                    begun = time.perf_counter()
                torch.nn.functional.cross_entropy(model(images), labels).backward()
                optimizer.step()
                optimizer.zero_grad()
            rate = round(BATCH * STEPS / (time.perf_counter() - begun), 1)
            rates.append({"model": name, "size": size, "threads": threads, "images_per_second": rate})
print(json.dumps({"processor": processor(), "rates": rates}, indent=1))
