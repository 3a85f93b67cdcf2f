"""Largest counts and seeds that options take.

No use comes near them. Below them, products that a run computes (images seen,
which are epochs times images or steps times batch) fit the 64-bit integers in
which TensorFlow counts.
"""

MAX_EPOCHS = 10**9
MAX_STEPS = 10**12
MAX_BATCH = 2**20
# NumPy's legacy generator, which Keras seeds, takes 32 bits.
MAX_SEED = 2**32 - 1
