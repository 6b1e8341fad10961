"""A network in which every address is local, and real clients that request URLs in it."""
