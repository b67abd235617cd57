"""Every contract with the outside world: events, headers, topics, errors, metrics, tables. Imports no other package of the project."""
