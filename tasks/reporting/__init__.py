"""The report: gather the data of a workspace and render it as one page."""
