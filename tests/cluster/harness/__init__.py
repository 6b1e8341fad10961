"""Test bed of `cluster`: a control plane of real programs, and nodes simulated by a thread."""
