"""The signals that ask a process to stop."""

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns SIGTERM, SIGINT and, unless it is ignored, SIGHUP.

    `nohup` ignores SIGHUP so that its program outlives the terminal.
    """
    hang_up = signal.SIGHUP
    ignored = signal.getsignal(hang_up) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *([] if ignored else [hang_up]))
