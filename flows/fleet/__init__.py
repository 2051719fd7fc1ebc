"""Stages on other machines: batches of cells, their coordinator, and their status."""
