"""Export the contract with other teams: a JSON Schema of each event and an AsyncAPI document. Check what may not change."""
