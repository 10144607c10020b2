"""Run a student's cells where they can do no harm, and always come back with an answer.

`run` starts a process of its own with next to no environment variables, in a sandbox (bubblewrap) where the machine
has one: no network, nothing readable but Python and our packages, nothing writable but a scratch folder, no other
process to be seen. That process runs the cells in a Jupyter kernel. A cell that hangs is interrupted; one that cannot
be, or that ends the kernel, is left out, and the rest is run again without it: one bad exercise costs its own points.
"""

import contextlib
import functools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from csi_utils import ROOT

TOTAL = 1200  # s of a submission: ten times what a notebook takes at smoke, for a machine may be busy
MEMORY, FILE = 8 << 30, 200 << 20  # bytes: address space of a process, a file that it writes
OUTPUT = 200_000  # characters that a cell may print; pictures may have twenty times as many
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives",
          "/etc/fonts")
KEPT = ("PATH", "LD_LIBRARY_PATH")  # environment variables that Python may need to start
# Refuse the network where there is no sandbox; and exit() in a cell must not end the kernel.
GUARD = ("__import__('csi_papers.run.guard').run.guard.install() or "
         "vars(get_ipython()).update(ask_exit=lambda: print('exit is left out here'))")


class Lost(RuntimeError):
    """The cells could not be run, or what became of them is not known; the message ends with the end of the log."""


@functools.cache
def bubblewrap():
    """Path of a bubblewrap that works here, or None: some machines have it and forbid it."""
    found = shutil.which("bwrap")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = [sys.executable, "-c", "import csi_utils, csi_papers.course.sandbox"]
        if found and subprocess.run([*_wrapped(found), *command], capture_output=True, timeout=60, check=False,
                                    env=_environment("/tmp")).returncode == 0:
            return found


def run(cells, limits, bwrap, total=TOTAL):
    """Run code cells in order. Returns a pair for each: its outputs, and why it was stopped ("" where it was not).

    cells: their sources. limits: seconds of each; total: of all. bwrap: of `bubblewrap`; with None there are still few
    environment variables, no network for Python's own sockets, and limits of time, memory and output. Raises Lost when
    there is no answer: the sandbox is broken, or a cell killed even the process around the kernel.
    """
    with tempfile.TemporaryDirectory(prefix="csi-grade-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "order.json").write_text(json.dumps([cells, limits, total]), encoding="utf-8")
        (folder / "home").mkdir()
        inside = [*_wrapped(bwrap), "--bind", name, name, "--chdir", name] if bwrap else []
        with open(folder / "log", "wb") as log:
            try:
                process = subprocess.Popen(
                    [*inside, sys.executable, "-m", "csi_papers.course.sandbox", name], env=_environment(name),
                    cwd=name, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            except OSError as err:  # no such program
                raise Lost(f"it could not be started: {err}") from None
            status = _wait(process, total + 60)
        with contextlib.suppress(OSError, ValueError, TypeError):  # not there, or written by somebody else
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            if status == 0 and len(result) == len(cells):
                return [(outputs, str(stopped)) for outputs, stopped in result]
        said = " ".join((folder / "log").read_text(encoding="utf-8", errors="replace").split())
    raise Lost(f"it ended with exit status {status}, and its log with: {said[-300:] or 'nothing'}")


def _wait(process, seconds):
    """The exit status, or "none in time"."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"none in {seconds:g} s"
    finally:  # also when somebody presses Ctrl-C
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and whatever is left behind
        process.wait()


def _environment(folder):
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": str(Path(folder, "home")), "TMPDIR": str(folder), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        "CSI_ROOT": str(ROOT), "CSI_DATA_OFFLINE": "1", "CSI_GUARD_NETWORK": "block", "CSI_WORKERS": "1",
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def _wrapped(bwrap):
    """The command that opens the sandbox: what is not named here is not there."""
    prefixes = dict.fromkeys(map(os.path.abspath, (sys.prefix, sys.base_prefix, sys.exec_prefix)))
    ours = [str(ROOT / name) for name in ("csi_utils", "csi_papers", "data")]  # none of them holds a solution
    shown = [*SYSTEM, *(p for p in prefixes if not p.startswith("/usr")), *ours]
    return [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev",
            "--tmpfs", "/tmp", *(word for path in shown for word in ("--ro-bind-try", path, path))]


# What follows runs inside.

def _inside(folder):
    cells, limits, total = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    _limit()
    deadline, stopped, ended = time.monotonic() + total, {}, True
    while ended:
        outputs, ended = _run_once(cells, limits, stopped, deadline)
    result = [(output, stopped.get(n, "")) for n, output in enumerate(outputs)]
    (folder / "result.part").write_text(json.dumps(result), encoding="utf-8")
    (folder / "result.part").replace(folder / "result.json")


def _limit():
    import resource
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows some of them in name only
            resource.setrlimit(kind, (most, most))


def _run_once(sources, limits, stopped, deadline):
    """One kernel for the cells that are not in `stopped` yet {number: why}, where those that hang or end it are put.

    Returns the outputs of each cell, and whether the kernel ended before the last.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook
    from traitlets.config import Config

    class Client(NotebookClient):
        said, interrupted = 0, False  # of the running cell

        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("stream", "display_data", "execute_result"):
                self.said += len(str(msg["content"]))
                if self.said > OUTPUT * (1 if msg["msg_type"] == "stream" else 20):
                    return None  # enough is enough
            return super().process_message(msg, cell, cell_index)

        async def _async_handle_timeout(self, timeout, cell=None):
            if self.interrupted:  # and it went on: nothing helps but a new kernel
                raise CellTimeoutError.error_from_timeout_and_cell("interrupted in vain", timeout, cell)
            self.interrupted = True
            await self.km.interrupt_kernel()

    nb, ended = new_notebook(cells=[new_code_cell(source) for source in sources]), False
    client = Client(nb, kernel_name="python3", allow_errors=True, shutdown_kernel="immediate", startup_timeout=120,
                    store_widget_state=False, coalesce_streams=True, iopub_timeout=10,
                    config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # else a warning fills the log
                    extra_arguments=[f"--IPKernelApp.exec_lines={GUARD}", "--HistoryManager.hist_file=:memory:"],
                    timeout_func=lambda cell: max(1, math.ceil(min(cell.metadata.limit, deadline - time.monotonic()))))
    with client.setup_kernel():
        for n, cell in enumerate(nb.cells):
            if n in stopped or ended:
                continue
            client.said, client.interrupted, cell.metadata["limit"] = 0, False, limits[n]
            try:
                client.execute_cell(cell, n)
            except CellTimeoutError:
                ended = True
            except DeadKernelError:
                ended, stopped[n] = True, "it ended Python (os._exit, or not enough memory?)"
            if client.interrupted:
                stopped[n] = f"stopped: no answer within {limits[n]:g} s (an endless loop?)"
            if time.monotonic() >= deadline:
                sys.exit("the time for the submission was used up")
    return [cell.outputs for cell in nb.cells], ended


if __name__ == "__main__":
    _inside(Path(sys.argv[1]))
