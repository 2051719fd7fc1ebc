"""What product.yaml, params.yaml and corrections.yaml may say. Opens no image, no torch."""
