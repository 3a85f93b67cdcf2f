"""`python -m tf_simclr`: the command line of an installed package."""

import sys

from tf_simclr.cli import main

if __name__ == "__main__":
    sys.exit(main())
