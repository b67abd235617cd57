"""Every contract with the outside world: events, headers, topics, errors, metrics, tables. Imports nothing of ours."""
