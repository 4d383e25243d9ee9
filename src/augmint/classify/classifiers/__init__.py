"""Classifiers for few labels, one file each, found by file name and called in scikit-learn's way.

    model = classifier("propagate", prior="uniform").fit(features, y)      # y: -1 = unlabelled
    model.predict_proba(new)

A classifier's file has `build`, a subclass of `FewLabels` (classify/base.py). To add one, add a file.
"""

import importlib
import inspect
import pkgutil
from typing import Any, cast

from augmint.classify.base import FewLabels
from augmint.errors import UsageError


def names() -> list[str]:
    """All classifiers there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def classifier(name: str, **options: Any) -> FewLabels:
    """The unfitted classifier of this name. UsageError lists the names, or the options that it has."""
    if name not in names():
        raise UsageError(f"there is no classifier {name!r}; choose one of {', '.join(names())}")
    build = importlib.import_module(f"{__name__}.{name}").build
    known = list(inspect.signature(build).parameters)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise UsageError(f"classifier {name!r} has no option {unknown[0]!r}; it has {', '.join(known)}")
    return cast(FewLabels, build(**options))
