"""The Intent: proxies and NO_PROXY with reasons, composed from settings and facts."""
