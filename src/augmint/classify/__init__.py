"""Few labels, with or without minted samples → classifier."""

from augmint.classify.base import FewLabels
from augmint.classify.classifiers import classifier
from augmint.classify.finetune import FinetunedEncoder, fit_finetuned
from augmint.classify.graph import graph_of, neighbour_graph, propagate, surest
from augmint.classify.logistic import LogisticHead, fit_logistic
from augmint.classify.scratch import Extra, ScratchClassifier, fit_scratch

__all__ = [
    "Extra",
    "FewLabels",
    "FinetunedEncoder",
    "LogisticHead",
    "ScratchClassifier",
    "classifier",
    "fit_finetuned",
    "fit_logistic",
    "fit_scratch",
    "graph_of",
    "neighbour_graph",
    "propagate",
    "surest",
]
