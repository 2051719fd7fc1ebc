"""Public data sets: downloaded, checked and laid out as products."""
