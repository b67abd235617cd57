"""Readers of videos and the choice of a frame."""
