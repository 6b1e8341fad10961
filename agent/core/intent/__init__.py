"""From settings and facts to proxies and NO_PROXY, each entry with its reason."""
