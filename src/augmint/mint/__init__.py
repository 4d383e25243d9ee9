"""Generator → kept samples with their trail.

    thresholds = thresholds_from(generator, pool, features, settings.mint, seed)
    minted = mint_images(generator, pool, parents, labels, classifier, settings.mint, seed, thresholds)
    export(minted, pool, run_folder)                   # minted/<class>/*.png + metadata.parquet

draw.py makes candidates, filters.py rejects, folder.py writes what is left and why; many.py does it by the thousand,
assess.py measures what the generator is worth.
"""

from augmint.mint.caps import Stock, Wish, told, widened
from augmint.mint.features import (
    FeatureThresholds,
    MintedFeatures,
    as_images,
    export_features,
    feature_thresholds,
    mint_features,
)
from augmint.mint.folder import export
from augmint.mint.images import Minted, mint_images
from augmint.mint.many import Work, mint_many
from augmint.mint.thresholds import Thresholds, thresholds_from

__all__ = [
    "FeatureThresholds",
    "Minted",
    "MintedFeatures",
    "Stock",
    "Thresholds",
    "Wish",
    "Work",
    "as_images",
    "export",
    "export_features",
    "feature_thresholds",
    "mint_features",
    "mint_images",
    "mint_many",
    "thresholds_from",
    "told",
    "widened",
]
