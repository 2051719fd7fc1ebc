"""A new product: from a folder of images to a spec, and from few images to many."""
