"""`cluster`: the proxy settings of the nodes for the pods.

`plan` decides, `apply` writes, `verify` compares.
"""
