"""The working tree against another commit of the project: processor time of caged jobs, in turns, on the same files."""
