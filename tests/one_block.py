"""`run.py` with a ResNet-18 of a single block: all else is as it is.

python tests/one_block.py --mode=pretrain ...
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from tf_simclr import cli, process

# Bottlenecks?, blocks per group. The last group's has a shortcut convolution
# and the channels that features have.
ONE_BLOCK = (False, (0, 0, 0, 1))


def shorten() -> None:
    """Leaves one residual block, in this process, for several processes at
    once to be ready soon."""
    from tf_simclr.models import resnet

    resnet.ARCHITECTURES[18] = ONE_BLOCK


if __name__ == "__main__":
    # TensorFlow's notices are for its import by run.py to silence.
    process.import_tensorflow()
    shorten()
    # Messages are those of run.py.
    sys.exit(cli.main(["run.py", *sys.argv[1:]]))
