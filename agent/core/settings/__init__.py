"""Settings of the operator: schema, readers, layers and user data."""
