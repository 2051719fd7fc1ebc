"""What other machines need: commits, outputs, checkpoints and the claim on a product."""
