"""Stages in processes of this machine."""
