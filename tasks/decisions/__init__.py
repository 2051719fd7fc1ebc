"""From scores to thresholds, decisions, severity and displayed scores. numpy only."""
