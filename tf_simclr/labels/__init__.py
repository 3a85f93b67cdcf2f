"""Few labels, well spent: which images to label, how far a label reaches."""
