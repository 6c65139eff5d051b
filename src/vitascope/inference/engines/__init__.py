"""Ways to compute a model's logits, a library per file; `table.py` lists them, `auto.py` chooses.

An engine takes normalised float32 images (B, C, h, w) on the CPU, of the checkpoint's size and any B, and returns
float32 logits (B, K) on the CPU. It may be called from several threads.
"""
