"""Work shared out to processes that own a part of the cores each."""

import ctypes
import os
import signal
import traceback
from collections.abc import Callable

# prctl's name for it.
_DIE_WITH_PARENT = 1


def die_with_parent() -> None:
    """This process is killed when its parent ends, however that ends.

    What goes on without it would write into the folders of the next attempt.
    """
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def run_pinned(work: Callable[[int], None], count: int) -> bool:
    """Calls `work` with 0 to `count` - 1, each in a process of its own.

    Small steps leave most of several cores idle; in a process that sees a part
    of the cores only, and so do its children, they leave none.

    Returns:
      Whether all of them came to their end.
    """
    cores = sorted(os.sched_getaffinity(0))
    workers = []
    for job in range(count):
        worker = os.fork()
        if not worker:
            code = 1
            try:
                die_with_parent()
                os.sched_setaffinity(0, cores[job::count] or cores)
                work(job)
                code = 0
            except KeyboardInterrupt:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        workers.append(worker)
    codes = [os.waitpid(worker, 0)[1] for worker in workers]
    return not any(codes)
