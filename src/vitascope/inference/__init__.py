"""Using a trained model: images in, labels and probabilities out."""
