"""Objects in any S3-compatible store."""
