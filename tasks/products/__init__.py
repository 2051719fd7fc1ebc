"""Products: create a product with its spec, and change, rename or remove it."""
