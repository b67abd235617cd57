"""The rows that show thumbnails, and the rule that the newest upload wins."""
