"""The Vision Transformer, its hybrids, the BiT-ResNet baseline, and their catalogue."""
