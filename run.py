"""The command line in a clone of the repository, without installing it.

`python run.py --help` lists the modes, `--helpfull` every flag.
"""

import sys

try:
    from tf_simclr.cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"run.py: this Python, {sys.executable}, has no package {error.name}:"
        " take the environment that README sets up (`source"
        " .venv/bin/activate`), or install requirements.txt."
    )

if __name__ == "__main__":
    sys.exit(main())
