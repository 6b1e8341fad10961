"""How clients read NO_PROXY: one module for each family, each with the source of its rules."""
