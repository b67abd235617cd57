"""Logs, traces and metrics of a role."""
