"""Reading weights back, checked name by name and shape by shape."""
