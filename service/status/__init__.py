"""What the installation is doing now: from Kafka and from the roles' metrics, for `thumbnails status` and the web page."""
