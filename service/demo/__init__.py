"""The demo: real files through the real pipeline, on this machine alone."""
