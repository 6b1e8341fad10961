"""NO_PROXY: its entries, how clients read them, and the lint of a list."""
