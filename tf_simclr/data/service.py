"""The processes of a tf.data service, which prepare batches for training.

    python -m tf_simclr.data.service dispatcher --port=5050
    python -m tf_simclr.data.service worker --dispatcher=HOST:5050

One dispatcher, and any number of workers on any number of machines, which may
come and go while a run goes on. Runs find it by `--data_service`. Paths of
images and versions of TensorFlow must be the same on all machines.
"""

import argparse
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.process import set_log_level
from tf_simclr.signals import stop_signals

# Seconds after which a worker that says nothing counts as gone.
_WORKER_TIMEOUT = 10
_HEARTBEAT = 1


def start_dispatcher(port: int, work_dir: str | None = None) -> Any:
    """Starts the server that hands out batch numbers.

    Args:
      port: where it listens; 0 chooses a free one.
      work_dir: where it notes its state; a dispatcher that is started again
        with the same one goes on where the first one was.
    """
    from tensorflow.data.experimental import service

    return service.DispatchServer(
        service.DispatcherConfig(
            port=port,
            work_dir=work_dir,
            fault_tolerant_mode=work_dir is not None,
            worker_timeout_ms=1000 * _WORKER_TIMEOUT,
        )
    )


def start_worker(dispatcher: str, host: str, port: int = 0) -> Any:
    """Starts a server that makes batches.

    Args:
      dispatcher: HOST:PORT of the dispatcher.
      host: the name by which other machines reach this one.
      port: where it listens; 0 chooses a free one.
    """
    from tensorflow.data.experimental import service

    return service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=dispatcher,
            worker_address=f"{host}:%port%",
            port=port,
            heartbeat_interval_ms=1000 * _HEARTBEAT,
        )
    )


def check_reachable(host: str, port: int, seconds: float = 5.0) -> None:
    """Refuses an address at which nobody listens.

    Raises:
      UserError: names it.
    """
    try:
        socket.create_connection((host, port), seconds).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Nobody answers at {host}:{port}: start the dispatcher there"
            " first (python -m tf_simclr.data.service dispatcher"
            f" --port={port}). Received: {error}"
        ) from error


def check_free(port: int) -> None:
    """Refuses a port on which something listens already.

    Raises:
      UserError: names it.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--port={port} cannot be listened on: choose another one."
            f" Received: {error}"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until a signal ends it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tf_simclr.data.service", description=__doc__
    )
    roles = parser.add_subparsers(dest="role", required=True)
    dispatcher = roles.add_parser("dispatcher", help="hands out the work")
    dispatcher.add_argument("--port", type=int, default=5050)
    dispatcher.add_argument(
        "--work_dir", help="notes its state here, to be started again"
    )
    worker = roles.add_parser("worker", help="makes batches")
    worker.add_argument("--dispatcher", required=True, metavar="HOST:PORT")
    worker.add_argument("--port", type=int, default=0)
    worker.add_argument(
        "--host",
        default=socket.gethostname(),
        help="name by which others reach this machine",
    )
    asked = parser.parse_args(arguments)
    # A server's own threads never see these signals: they wait here.
    signals = stop_signals()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server = _start(asked)
        number = signal.sigwait(signals)
        del server
        return 128 + number
    except UserError as error:
        print(f"tf_simclr.data.service: {error}", file=sys.stderr)
        return 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(asked: argparse.Namespace) -> Any:
    set_log_level(2)
    if asked.role == "dispatcher":
        check_free(asked.port)
        server = start_dispatcher(asked.port, asked.work_dir)
        port = server.target.rpartition(":")[2]
        address = f"grpc://{socket.gethostname()}:{port}"
        print(f"--data_service={address}", flush=True)
        return server
    host, _, port = asked.dispatcher.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(
            f"--dispatcher is written HOST:PORT. Received: {asked.dispatcher}"
        )
    check_reachable(host, int(port))
    check_free(asked.port)
    server = start_worker(asked.dispatcher, asked.host, asked.port)
    print(f"serving {asked.dispatcher}", flush=True)
    return server


if __name__ == "__main__":
    sys.exit(main())
