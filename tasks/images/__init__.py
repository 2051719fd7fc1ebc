"""Images: read files, prepare pixels for an algorithm, and draw results."""
