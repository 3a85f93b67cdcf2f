"""The signals that ask a process to stop, and where it looks for them."""

import contextlib
import contextvars
import signal
from collections.abc import Callable, Iterator

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
