"""What production says: the log of predictions, drift, whether a run is due."""
