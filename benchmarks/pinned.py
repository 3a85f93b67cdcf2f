"""Work shared out to processes that own a part of the cores each."""

import os
import traceback
from collections.abc import Callable


def run_pinned(work: Callable[[int], None], count: int) -> bool:
    """Calls `work` with 0 to `count` - 1, each in a process of its own.

    Small steps leave most of several cores idle; a process that sees only its
    part of them, and hands that on to its own, leaves none.

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
