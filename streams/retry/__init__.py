"""The retry role: failed records come back when they are due."""
