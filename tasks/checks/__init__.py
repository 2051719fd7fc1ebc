"""What is checked of a product's images before anything is trained on them."""
