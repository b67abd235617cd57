"""The flow: events in, events out. The only room that knows Kafka."""
