"""A network in which every address is local, and real clients in it that are asked for URLs."""
