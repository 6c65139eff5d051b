"""Judging a model: metrics as sums, evaluation that counts each image once."""
