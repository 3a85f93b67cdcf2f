"""Measuring a network: accuracy and nearest neighbours."""
