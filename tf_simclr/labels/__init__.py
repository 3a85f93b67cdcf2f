"""Choosing images to label, and propagating labels along features."""
