"""Speed and memory of models against the size of the image (Figure 12, D.5)."""
