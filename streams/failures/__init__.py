"""What failures become, for all roles: when a record is tried again, its dead letter, and what stops a flood of them."""
