"""The worker role: uploads and cleanups in, outcomes out."""
