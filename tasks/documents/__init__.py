"""The documents that the line leaves: one typed model for each, read and written here only."""
