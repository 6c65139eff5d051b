"""Weights with config, labels and preprocessing: the own format, and everybody else's, read by content."""
