"""How clients read NO_PROXY: one module for each family, each with the source of its rules.

`target` reads what is asked for, `families` lists the dialects in the order of a table.
"""
