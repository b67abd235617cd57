"""One upload into stored thumbnails, without Kafka."""
