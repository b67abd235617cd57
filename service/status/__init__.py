"""The present state of the installation, from Kafka and the roles' metrics, for `thumbnails status` and the web page."""
