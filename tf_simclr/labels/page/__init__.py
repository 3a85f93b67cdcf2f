"""The page on which a person labels images: its server, its files."""
