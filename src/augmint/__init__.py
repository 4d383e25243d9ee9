"""augmint: from a folder of images with few labels to a classifier and an honest verdict."""

__version__ = "0.1.0"
