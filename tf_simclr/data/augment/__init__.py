"""Views of images: the augmentation, computed on whole batches."""
