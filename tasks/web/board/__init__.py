"""The workspace in a browser: the report's pages, what runs now, and changes by hand."""
