"""Kafka clients, connections, security and topics, from the settings."""
