"""The health of a role: it makes progress (live), its dependencies answer (ready), and the details for an operator."""
