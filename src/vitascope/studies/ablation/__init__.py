"""The paper's ablations: variants of one model at the same length, seed by seed; a file for each."""
