"""The daemon: boot, cycles and supervision."""
