"""A run whose images come from an input worker, and that worker.

python tests/stalled_run.py serve
python tests/stalled_run.py train ADDRESS FOLDER
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import pytest
import tensorflow as tf
from small_task import Batches, at_step, train

from tf_simclr.training import stall

service = tf.data.experimental.service


def serve() -> None:
    """An input worker, until it is killed."""
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address)
    )
    print(dispatcher.target, flush=True)
    worker.join()


def main(address: str, folder: str) -> None:
    """Trains; says when step 3 is done, and then waits a second."""
    stall.NOTICE, stall.END = 1.0, 3.0

    def remote(dataset: tf.data.Dataset) -> tf.data.Dataset:
        distribute = service.distribute(
            "parallel_epochs", address, max_outstanding_requests=1
        )
        return dataset.repeat().apply(distribute)

    def pause() -> None:
        print("step 3", flush=True)
        time.sleep(1.0)

    with at_step(pytest.MonkeyPatch(), 3, pause):
        train(
            pathlib.Path(folder), steps=10**6, batches=Batches(replace=remote)
        )


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else main(*sys.argv[2:])
