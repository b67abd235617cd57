"""The contract with other teams as files: JSON Schema of each event, one AsyncAPI document, and what may not change."""
