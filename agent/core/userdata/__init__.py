"""User data for each provisioner: rendered from the settings, and read as each of them reads it."""
