"""Wiring: which step follows which, and the command line."""
