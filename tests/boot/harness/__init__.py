"""A bed of real parts in which a node boots: root file systems, a network of its own, services,
boots and their evidence.
"""
