"""The folder and its files, locks, journal, names and errors. Nothing here changes a result."""
