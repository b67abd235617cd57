"""Records, clients, readers and lag: the only users of confluent_kafka beside the replay sender."""
