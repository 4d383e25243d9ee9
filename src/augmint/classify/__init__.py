"""Few labels, with or without minted samples → classifier."""

from augmint.classify.agreement import Candidates, agreeing, candidates, two_lessons
from augmint.classify.base import FewLabels
from augmint.classify.classifiers import classifier
from augmint.classify.finetune import FinetunedEncoder, fit_finetuned
from augmint.classify.graph import graph_of, propagate
from augmint.classify.logistic import LogisticHead, fit_logistic
from augmint.classify.scratch import Extra, ScratchClassifier, fit_scratch
from augmint.classify.student import Student, fit_student

__all__ = [
    "Candidates",
    "Extra",
    "FewLabels",
    "FinetunedEncoder",
    "LogisticHead",
    "ScratchClassifier",
    "Student",
    "agreeing",
    "candidates",
    "classifier",
    "fit_finetuned",
    "fit_logistic",
    "fit_scratch",
    "fit_student",
    "graph_of",
    "propagate",
    "two_lessons",
]
