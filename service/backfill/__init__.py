"""Announces media that the database already has: rows without thumbnails, rows that failed, or all."""
