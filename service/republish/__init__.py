"""Writes thumbnail.state again from the database."""
