"""Services that keep the curves of many runs, each in one file."""
