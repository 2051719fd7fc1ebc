"""The champions of the line as an HTTP service."""
