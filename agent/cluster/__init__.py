"""`cluster`: the pods get the same proxy as the nodes.  `plan` decides, `apply` writes, `verify` looks."""
