"""A test bed of real parts in which nodes boot.

It has root file systems, a network, services, boots and their evidence.
"""
