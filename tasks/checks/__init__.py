"""Checks of a product's images before any training."""
