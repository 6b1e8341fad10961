"""What the tests of `cluster` run on: a control plane of real programs, and nodes that a thread of
ours plays.
"""
