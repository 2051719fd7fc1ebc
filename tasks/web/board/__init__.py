"""The workspace in a browser: pages of the report, the present run, and changes by hand."""
