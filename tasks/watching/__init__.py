"""Sources that images keep arriving in."""
