"""The line's champions behind HTTP."""
