"""Data for a Prefect server: names, events, notifications, artifacts."""
