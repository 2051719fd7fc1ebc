"""Data for other machines: commits, outputs, checkpoints and claims on products."""
