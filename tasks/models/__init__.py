"""One model: fitting, loading, scoring, exporting it, and what its evaluation holds."""
