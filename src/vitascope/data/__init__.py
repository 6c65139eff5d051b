"""From bytes to batches: images, sources, preprocessing, augmentation, order."""
