"""The persist role: results into the database."""
