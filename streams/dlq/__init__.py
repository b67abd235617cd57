"""Dead letters: write, read, replay, export and purge."""
