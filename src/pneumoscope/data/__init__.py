"""Catalogue, layouts, splits, pixel cache, augmentation, phantoms and downloads."""
