"""Pictures drawn by formula, with their defects: what the backbone in the box learns from."""
