"""The command line in a clone of the repository, without installing it.

`python run.py --help` lists the modes, `--helpfull` every flag.
"""

import sys

from tf_simclr.cli import main

if __name__ == "__main__":
    sys.exit(main())
