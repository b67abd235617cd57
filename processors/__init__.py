"""Bytes in, pictures out. Knows no Kafka, no storage, no network and no database."""
