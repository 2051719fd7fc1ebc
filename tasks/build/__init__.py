"""What DVC knows: graph, fingerprints of code, stale stages, the record of those just run."""
