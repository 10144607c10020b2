"""What the strict runner plants in a kernel, so that nothing fails silently there.

The runner starts the kernel with `install_in_kernel` as its first statement, and every Python process under
it with `install` (through a sitecustomize folder on PYTHONPATH). What happens is appended to the file
CSI_GUARD_LOG, one JSON text a line, so it outlives the kernel. Imports only the standard library: it runs in
every child process.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback

_installed = False
_token = None  # of the run; set only when this kernel is fully guarded
CELLS = 0  # cells that ran to their end in this kernel; a restarted kernel starts again at 0


class Refused(RuntimeError):
    """Raised where a notebook does what a strict run does not allow."""


class NetworkBlocked(OSError):
    """Raised in place of a connection in a run without network."""


def log(message):
    """Append one event for the runner. Does nothing outside a strict run."""
    if path := os.environ.get("CSI_GUARD_LOG"):
        with open(path, "a", encoding="utf-8") as file:  # one short append: lines of processes do not mix
            file.write(json.dumps(message) + "\n")


def install():
    """Record what dies on threads, tasks and forked children; refuse os.system, and the network if asked."""
    global _installed
    if _installed:  # audit hooks cannot be taken off again, so never put on two
        return
    _installed = True
    before = threading.excepthook

    def on_thread(args):
        name = args.thread.name if args.thread else "a thread"
        log(f"a thread died: {name}: {_last_line(args.exc_type, args.exc_value)}")
        before(args)

    class OnTask(logging.Handler):
        def emit(self, record):
            if record.exc_info:
                log(f"a task died: {record.getMessage().splitlines()[0]}: {_last_line(*record.exc_info[:2])}")

    threading.excepthook = on_thread
    logging.getLogger("asyncio").addHandler(OnTask(logging.ERROR))
    sys.addaudithook(_audit)
    _watch_forked_children()


def install_in_kernel():
    """`install`, and count cells and refuse shell lines and magics of this IPython kernel."""
    from IPython import get_ipython
    global _token
    install()
    shell = get_ipython()

    def refuse(what):
        def refused(name, *args, **kwargs):
            raise Refused(f"{what} is not allowed in a strict run: {name!r}")
        return refused

    def count(result):
        global CELLS
        if result.success and result.info.store_history:
            CELLS += 1

    shell.system = shell.getoutput = refuse("a shell command")
    shell.run_line_magic = shell.run_cell_magic = refuse("a magic")
    shell.events.register("post_run_cell", count)
    _token = os.environ.get("CSI_GUARD_TOKEN")


def report():
    """What the runner asks for after the last cell: JSON text with token, cells, prefix and ledgers.

    Waits up to a second for threads that are still at work, so that their last words are heard.
    """
    import gc
    gc.collect()  # a task that died unobserved says so when it is collected
    deadline = time.monotonic() + 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    claims = sys.modules.get("csi_utils.claims")
    ledgers = [[ledger.name, ledger.closed] for ledger in claims.OPENED] if claims else []
    return json.dumps({"token": _token, "cells": CELLS, "prefix": sys.prefix, "ledgers": ledgers})


def _last_line(kind, value):
    return traceback.format_exception_only(kind, value)[-1].strip()


def _audit(event, args):
    if event == "os.system":
        log(f"a shell command was tried: os.system({args[0]!r})")
        raise Refused("os.system is not allowed in a strict run (its failure is silent): use subprocess.run with "
                      "check=True")
    if event in _NETWORK and os.environ.get("CSI_GUARD_NETWORK") == "block":
        target = args[_NETWORK[event]]
        if not _is_local(target):
            log(f"network attempt in a run without network: {event} to {target!r}")
            raise NetworkBlocked(f"no network in this run: {event} to {target!r} was refused")


# Which of each event's arguments says where to.
_NETWORK = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1,
            "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}


def _is_local(target):
    if isinstance(target, tuple):
        target = target[0]
    if isinstance(target, bytes):
        target = target.decode("ascii", "replace")
    # No host at all is this machine (or a socket that was refused when it connected); a path is a Unix socket.
    return target is None or target in ("", "localhost", "::1") or target.startswith(("127.", "/", "\0"))


def _watch_forked_children():
    from multiprocessing import process
    run = process.BaseProcess._bootstrap

    def watched(self, *args, **kwargs):
        code = run(self, *args, **kwargs)
        if code:
            log(f"a child process failed: {self.name} ended with exit status {code}")
        return code

    process.BaseProcess._bootstrap = watched
