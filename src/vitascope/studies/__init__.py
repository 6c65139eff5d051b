"""Whole experiments of the paper: many runs or models, compared."""
