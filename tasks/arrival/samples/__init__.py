"""Three sample products, drawn by our own code."""
