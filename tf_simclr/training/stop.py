"""Ways in which training ends before its last step."""

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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


class StopRequest:
    """Notes SIGTERM and SIGINT while it is open; a second one acts at once.

    Outside the main thread, where Python takes no signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        try:
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        except ValueError:
            self._previous.clear()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
