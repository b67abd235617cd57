"""The port of `thumbnails ingest http`: who may send, what fits, and what is answered."""
