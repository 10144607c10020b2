"""What runs in the sandbox: a student's cells and functions, on request. It knows no check and no expected value.

    python -m csi_papers.course.inside

A request a line on standard input, an answer a line on standard output, both JSON (see `sandbox`). The student's code
can change all of this module: what it answers is data to the grader, and never more.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import time
import tracemalloc

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from csi_papers.course import plain
from csi_papers.run import guard
from csi_utils import exercises

MEMORY = 8 << 30  # bytes of address space of a process; `sandbox` caps what all of them use


class Stopped(BaseException):
    """The time is used up. No Exception, for a student's code may catch those."""


def main():
    """Answer requests until there are no more."""
    with contextlib.suppress(ValueError, OSError):  # macOS knows it in name only
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    guard.install()  # refuses the network where there is no sandbox
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}), colors="nocolor")
    vars(shell)["ask_exit"] = lambda: None  # exit() in a cell ends nothing
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):  # what a cell prints interests nobody
        os.dup2(nowhere, number)
    for line in requests:
        request = json.loads(line)
        try:
            said = _in_time(request, shell)
        except Stopped:
            said = {"stopped": True}
        except plain.NotPlain as err:
            said = {"raised": f"it gave {err}, expected numbers, text, arrays, or lists of them"}
        except BaseException as err:
            said = {"raised": f"it raised {exercises.described(err)}", "todo": isinstance(err, NotImplementedError)}
        print(json.dumps(said | {"id": request["id"]}), file=answers, flush=True)


def _in_time(request, shell):
    """What a request gives. Raises Stopped when its time is used up."""
    begun, used = time.monotonic(), time.process_time()

    def look(*_):
        cpu = time.process_time() - used
        if cpu > request["cpu"] or time.monotonic() - begun > request["cpu"] + request["slow"] * cpu:
            raise Stopped

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        return _run(request["run"], shell) if "run" in request else _ask(request, shell.user_ns)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run(source, shell):
    """Run a cell, as after Restart and Run All."""
    result = shell.run_cell(source, store_history=True)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if isinstance(result.error_in_exec, Stopped):
        raise Stopped
    error = result.error_before_exec or result.error_in_exec
    return {"error": f"{type(error).__name__}: {error}" if error else ""}


def _ask(request, names):
    """Call what has this name, or give its value where it is no function and nothing is to be called."""
    name = request["name"]
    if name not in names:
        return {"undefined": True}
    if "args" not in request:
        return {"function": True} if callable(names[name]) else {"value": plain.encode(names[name])}
    args, kwargs = plain.decode(request["args"]), plain.decode(request["kwargs"])
    if request["trace"]:
        tracemalloc.start()
    try:
        value = names[name](*args, **kwargs)
        peak = tracemalloc.get_traced_memory()[1] if request["trace"] else 0
    finally:
        tracemalloc.stop()
    # An answer that changes what it was given changes it for the check, too.
    given = zip([*args, *kwargs.values()], [*request["args"]["tuple"], *(v for _, v in request["kwargs"]["dict"])],
                strict=True)
    changed = {n: now for n, (value, before) in enumerate(given)
               if isinstance(value, np.ndarray) and (now := plain.encode(value)) != before}
    return {"value": plain.encode(value), "changed": changed, "peak": peak}


if __name__ == "__main__":
    main()
