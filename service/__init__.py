"""Composition root, and everything an operator touches."""
