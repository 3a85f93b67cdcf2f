"""Measurements: README.md lists the programs, `lib` is what they share."""
