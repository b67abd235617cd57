"""Failures, for all roles: when a record is tried again, its dead letter, and the guard that stops a flood of them."""
