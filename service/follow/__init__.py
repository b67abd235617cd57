"""Shows the way of one upload through the topics, as it goes."""
