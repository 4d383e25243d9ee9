"""Stored trials → figures, one self-contained HTML page, JSON. Loads no model.

from augmint.report import collect, recompute, write
"""

from augmint.report.evidence import recompute
from augmint.report.facts import collect
from augmint.report.page import write

__all__ = ["collect", "recompute", "write"]
