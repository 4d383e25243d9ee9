"""augmint: from a folder of images with few labels to a classifier and an honest verdict.

import augmint as am

run = am.run("photos/", labels_per_class=10)
print(run.verdict)
model = am.classifier("propagate").fit(features, y)     # scikit-learn's way; y: -1 = unlabelled
"""

from typing import TYPE_CHECKING, Any

from augmint.errors import AugmintError, Diverged, InputError, UsageError

if TYPE_CHECKING:
    from augmint.api import Prediction, Run, run
    from augmint.classify import classifier

__version__ = "0.1.0"
__all__ = ["AugmintError", "Diverged", "InputError", "Prediction", "Run", "UsageError", "classifier", "run"]


def __getattr__(name: str) -> Any:
    """The API is imported when first used: `augmint --help` need not wait for torch."""
    if name in ("Prediction", "Run", "run"):
        from augmint import api

        return getattr(api, name)
    if name == "classifier":
        from augmint.classify import classifier

        return classifier
    raise AttributeError(f"module 'augmint' has no attribute {name!r}")
