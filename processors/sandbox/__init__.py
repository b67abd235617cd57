"""Decoding in confined child processes."""
