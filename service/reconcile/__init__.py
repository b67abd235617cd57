"""Compares what rows show with what the storages hold, and repairs what differs by the pipeline's ordinary ways."""
