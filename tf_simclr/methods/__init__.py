"""Methods: how a network learns in each of the three stages."""
