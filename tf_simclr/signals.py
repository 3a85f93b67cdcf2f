"""Signals that ask a run to stop, and the ways in which it ends early."""

import contextlib
import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from tf_simclr.progress import complain

# Seconds within which a signal that comes twice is one.
_SAME = 0.2
_CHECKS: contextvars.ContextVar[tuple[Callable[[], None], ...]] = (
    contextvars.ContextVar("checks", default=())
)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns SIGTERM, SIGINT and, unless it is ignored, SIGHUP.

    `nohup` ignores SIGHUP so that its program outlives the terminal.
    """
    hang_up = signal.SIGHUP
    ignored = signal.getsignal(hang_up) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *([] if ignored else [hang_up]))


@contextlib.contextmanager
def stopping_by(check: Callable[[], None]) -> Iterator[None]:
    """Lets `check` raise an error at each `stop_point` that is passed in here.

    An error that a signal's handler raises is lost where Python runs the
    handler inside of a finalizer.
    """
    token = _CHECKS.set((*_CHECKS.get(), check))
    try:
        yield
    finally:
        _CHECKS.reset(token)


def stop_point() -> None:
    """A place, such as between two batches, at which work can be left."""
    for check in _CHECKS.get():
        check()


class TrainingFailed(Exception):
    """The run cannot go on, such as after a loss that is not finite."""


class Interrupted(Exception):
    """A run was asked to stop, and has saved its state.

    Attributes:
      signal_number: the signal that asked.
    """

    def __init__(self, signal_number: int, step: int):
        super().__init__(
            f"Stopped by {signal.Signals(signal_number).name} after saving"
            f" step {step}; the same command continues from there."
        )
        self.signal_number = signal_number


class Terminated(BaseException):
    """A signal while nothing was training: there is nothing to save.

    Attributes:
      signal_number: the signal.
    """

    def __init__(self, signal_number: int):
        super().__init__(
            f"Stopped by {signal.Signals(signal_number).name}; the same command"
            " continues from what has been saved."
        )
        self.signal_number = signal_number


@contextlib.contextmanager
def signals_terminate() -> Iterator[None]:
    """Turns the signals that ask to stop into `Terminated` where nothing else
    does.

    Raises:
      Terminated: in the block, when a signal arrives.
    """
    signals = stop_signals()
    asked: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        asked.append(number)
        for other in signals:
            signal.signal(other, signal.SIG_DFL)
        raise Terminated(number)

    def check() -> None:
        if asked:
            raise Terminated(asked[0])

    previous = {n: signal.signal(n, terminate) for n in signals}
    try:
        with stopping_by(check):
            yield
    except Exception as error:
        # C++ code may replace what the handler raised by an error of its own.
        if asked:
            raise Terminated(asked[0]) from error
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class StopRequest:
    """Notes SIGTERM, SIGINT and SIGHUP while it is open; a second signal acts
    at once.

    Python's own handlers wait until TensorFlow returns, which takes as long
    as a step, a compilation or stalled input does. The second signal is
    therefore awaited by a thread, which ends the process with 128 + N.

    Outside the main thread, where Python takes no signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}
        self._pipe: tuple[int, int] | None = None
        self._previous_fd = -1

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():
            return self
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._previous_fd = signal.set_wakeup_fd(self._pipe[1])
        for number in stop_signals():
            self._previous[number] = signal.signal(number, self._note)
        threading.Thread(
            target=_end_at_second, args=(self._pipe[0],), daemon=True
        ).start()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            signal.set_wakeup_fd(self._previous_fd)
            # The thread reads the end of the pipe and closes its side.
            os.close(self._pipe[1])
            self._pipe = None

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number


def _end_at_second(descriptor: int) -> None:
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    first, since = None, 0.0
    while number := os.read(descriptor, 1):
        if number[0] not in signals:
            continue
        if first is None:
            first, since = number[0], time.monotonic()
        elif number[0] == first and time.monotonic() - since < _SAME:
            # `timeout` signals its command, and then the command's group.
            continue
        elif (first, number[0]) != (signal.SIGHUP, signal.SIGHUP):
            # A terminal that closes may send SIGHUP twice, by its shell too.
            name = signal.Signals(number[0]).name
            complain(
                f"Stopped at once by a second signal ({name}); the same command"
                " continues from the last checkpoint."
            )
            os._exit(128 + number[0])
    os.close(descriptor)
