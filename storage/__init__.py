"""Where bytes live, for each tenant. Knows no Kafka and no media."""
