"""Stages on other machines: batches of cells, their coordinator, what they tell."""
