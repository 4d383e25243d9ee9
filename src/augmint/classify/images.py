"""What classifiers of images share: X is uint8 [N, C, H, W], all of the size of the images fitted.

class Mine(ImageClassifier):
    name = "mine"
    def _learn(self, task): ...      # task.x: the images
"""

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_consistent_length, column_or_1d
from torch import Tensor

from augmint.classify.base import Array, FewLabels, FitError, Task


class ImageClassifier(FewLabels):
    """A classifier for few labels among many images. The weight of minted ones is that of each in the loss; None: 1."""

    name: ClassVar[str]

    def _pairs(self, X: Any, y: Any) -> tuple[Tensor, Array]:
        images, labels = self._images(X), column_or_1d(y)
        check_consistent_length(images, labels)
        self.n_features_in_ = images[0].numel()
        self._shape = tuple(images.shape[1:])
        return images, labels

    def _rows(self, X: Any) -> Tensor:
        images = self._images(X)
        if tuple(images.shape[1:]) != self._shape:
            raise FitError(
                f"images of {tuple(images.shape[1:])} for a classifier of {self._shape}; load them at that size"
            )
        return images

    def _weight(self, task: Task, count: int) -> float:
        return 1.0

    def _images(self, X: Any) -> Tensor:
        """uint8 [N, C, H, W]. FitError for anything else."""
        images = torch.as_tensor(np.asarray(X))
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
            raise FitError(
                f"X is {images.dtype} {list(images.shape)}; the classifier {self.name!r} reads images, "
                "uint8 [N, C, H, W] with C = 1 or 3"
            )
        return images
