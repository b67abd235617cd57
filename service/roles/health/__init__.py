"""Whether a role makes progress (live) and what it needs answers (ready), with what an operator needs to know."""
