"""Where a model carries the image's two dimensions (Section 3.1, "Inductive bias"), measured layer by layer."""
