"""One reconcile, from settings and facts to a configured node."""
