"""Judging a model: metrics as sums, evaluation that counts each image once, few-shot accuracy of frozen features."""

from vitascope.evaluation.fewshot import fewshot_predict
from vitascope.evaluation.neighbours import neighbour_predict
from vitascope.evaluation.probe import probe_predict

__all__ = ["fewshot_predict", "neighbour_predict", "probe_predict"]
