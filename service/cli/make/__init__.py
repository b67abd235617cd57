"""`thumbnails make`: the pipeline's own decoding for local files, without Kafka."""
