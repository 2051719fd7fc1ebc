"""The steps of the line: plain functions over values and paths. No Prefect here, no algorithm."""
