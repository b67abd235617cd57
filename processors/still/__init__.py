"""Readers of still pictures and animations."""
