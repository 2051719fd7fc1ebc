"""What an MLflow server is told: runs, figures, versions, the champion. The store is the truth."""
