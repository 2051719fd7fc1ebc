"""Pixels: reading files, preparing them for an algorithm, and drawing what was found."""
