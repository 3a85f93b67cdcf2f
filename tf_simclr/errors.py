"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake that the user can mend: bad flag, file or data.

    Its message is one or two plain sentences which name the flag, file or
    value and the way out. `run.py` prints it without a traceback and exits
    with code 2.
    """
