"""Releases on their way to other machines and runtimes, and whether they decide the same there."""
