"""From files and arrays to labelled subsets, views and batches."""
