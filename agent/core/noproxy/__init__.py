"""NO_PROXY: its entries, how clients read it, and what is wrong with a list."""
