"""Backbones and their registry, projection head, classifier, network."""
