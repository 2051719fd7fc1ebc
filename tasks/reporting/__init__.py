"""What people look at: everything a workspace knows, gathered, and rendered as one page."""
