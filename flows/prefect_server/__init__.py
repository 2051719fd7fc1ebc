"""What is said to a Prefect server: names, events, notifications, artifacts."""
