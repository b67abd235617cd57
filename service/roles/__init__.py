"""Build, check and run the roles."""
