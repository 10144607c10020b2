"""Run a student's cells where they can do no harm, and always come back with an answer.

`run` starts a process of its own with next to no environment variables, in a sandbox (bubblewrap) where the machine
has one: no network, nothing readable but Python and csi_utils, nothing writable but a scratch folder, no other
process to be seen. That process runs the cells in a Jupyter kernel. A cell that hangs or ends the kernel is left
out, and the rest is run again without it: one bad exercise costs its own points.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from csi_utils import ROOT

CELL, TOTAL = 30, 300  # s: a cell, a submission
MEMORY, FILE = 8 << 30, 200 << 20  # bytes: address space of a process, a file that it writes
OUTPUT = 200_000  # characters that a cell may print
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives",
          "/etc/fonts")
KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "COMSPEC")  # environment variables that Python may need to start


@functools.cache
def bubblewrap():
    """Path of a bubblewrap that works here, or None: some machines have it and forbid it."""
    found = shutil.which("bwrap")
    try:
        works = found and subprocess.run([*_wrapped(found, None), sys.executable, "-c", "import csi_utils"],
                                         capture_output=True, timeout=60, check=False, env=_environment("/tmp"))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if works and works.returncode == 0 else None


def run(cells, sandbox=None, cell_timeout=CELL, total_timeout=TOTAL):
    """Run code cells in order. Returns {"outputs": [[...] for each cell], "skipped": {index: why}}.

    cells: their sources. sandbox: True in bubblewrap, False without, None where bubblewrap works. Without it there are
    still few environment variables, no network for Python's own sockets, and limits of time, memory and output.
    skipped: cells that hung or ended the kernel. Never raises for what the cells do; when they kill even the process
    around the kernel, "lost" says so, and outputs are empty. Raises RuntimeError when a sandbox is asked for and there
    is none.
    """
    bwrap = None if sandbox is False else bubblewrap()
    if sandbox and not bwrap:
        raise RuntimeError("sandbox: asked for, but bubblewrap (bwrap) is not here, or this machine forbids it")
    with tempfile.TemporaryDirectory(prefix="csi-grade-", ignore_cleanup_errors=True) as folder:
        order = {"cells": cells, "cell": cell_timeout, "total": total_timeout}
        Path(folder, "order.json").write_text(json.dumps(order), encoding="utf-8")
        Path(folder, "home").mkdir()
        before = _wrapped(bwrap, folder) if bwrap else []
        command = [*before, sys.executable, "-m", "csi_papers.course.sandbox", folder]
        with open(Path(folder, "log"), "wb") as log:
            status = _wait(subprocess.Popen(command, env=_environment(folder), cwd=folder, stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, start_new_session=True), total_timeout + 30)
        try:
            result = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
            if status == 0 and len(result["outputs"]) == len(cells):
                return result | {"skipped": {int(k): v for k, v in result["skipped"].items()}}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # not there, or written by somebody else
    why = f"no answer within {total_timeout + 30:g} s" if status is None else "the run was ended from inside"
    return {"outputs": [[] for _ in cells], "skipped": {}, "lost": why}


def _wait(process, seconds):
    """The exit status, or None when it took too long."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also when somebody presses Ctrl-C
        if sys.platform != "win32":
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and whatever is left behind
            except (ProcessLookupError, PermissionError):
                pass
        process.kill()
        process.wait()


def _environment(folder):
    home = str(Path(folder, "home"))
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": home, "USERPROFILE": home, "TMPDIR": str(folder), "TMP": str(folder), "TEMP": str(folder),
        "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "CSI_DATA_OFFLINE": "1", "CSI_GUARD_NETWORK": "block",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline"} | dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def _wrapped(bwrap, folder):
    """The command that opens the sandbox: what is not named here is not there."""
    prefixes = dict.fromkeys(map(os.path.abspath, (sys.prefix, sys.base_prefix, sys.exec_prefix)))
    shown = [*SYSTEM, *(p for p in prefixes if not p.startswith("/usr")), str(ROOT / "csi_utils"), str(ROOT / "data")]
    return [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev",
            "--tmpfs", "/tmp", *(word for path in shown for word in ("--ro-bind-try", path, path)),
            *(["--bind", folder, folder, "--chdir", folder] if folder else [])]


# What follows runs inside.

def _inside(folder):
    order = json.loads(Path(folder, "order.json").read_text(encoding="utf-8"))
    _limit()
    deadline = time.monotonic() + order["total"]
    skipped, outputs = {}, []
    while True:
        outputs, culprit = _run_once(order["cells"], skipped, order["cell"], deadline)
        if culprit is None:
            break
        skipped[culprit[0]] = culprit[1]
        if time.monotonic() > deadline or len(skipped) > 12:
            break
    partial = Path(folder, "result.part")
    partial.write_text(json.dumps({"outputs": outputs, "skipped": skipped}), encoding="utf-8")
    partial.replace(Path(folder, "result.json"))


def _limit():
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            pass  # macOS knows some of them in name only


def _run_once(sources, skipped, cell_timeout, deadline):
    """(outputs of each cell, None or (index, why) of a cell that hung or ended the kernel)."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    class Client(NotebookClient):
        said = 0

        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("stream", "display_data", "execute_result"):
                self.said += len(str(msg["content"]))
                if self.said > OUTPUT * (1 if msg["msg_type"] == "stream" else 20):
                    return None  # enough is enough
            return super().process_message(msg, cell, cell_index)

    guard = "__import__('csi_papers.run.guard').run.guard.install()"  # refuses the network where there is no sandbox
    nb, asked_to_end = new_notebook(cells=[new_code_cell(source) for source in sources]), []
    client = Client(nb, kernel_name="python3", allow_errors=True, shutdown_kernel="immediate", startup_timeout=60,
                    store_widget_state=False, coalesce_streams=True, iopub_timeout=10,
                    extra_arguments=[f"--IPKernelApp.exec_lines={guard}", "--HistoryManager.hist_file=:memory:"],
                    timeout_func=lambda _: max(1, round(min(cell_timeout, deadline - time.monotonic()))),
                    on_cell_executed=lambda cell, cell_index, execute_reply: asked_to_end.extend(
                        payload for payload in execute_reply["content"].get("payload", [])
                        if payload.get("source") == "ask_exit"))
    culprit = None
    with client.setup_kernel():
        for index, cell in enumerate(nb.cells):
            if index in skipped:
                continue
            client.said = 0
            try:
                client.execute_cell(cell, index)
            except CellTimeoutError:
                late = time.monotonic() >= deadline
                culprit = index, ("stopped: the time for the submission was used up" if late else
                                  f"stopped: no answer within {cell_timeout:g} s (an endless loop?)")
            except DeadKernelError:
                culprit = index, "it ended Python (os._exit, or not enough memory?)"
            if asked_to_end:
                culprit = index, "it ended Python (exit or quit)"
            if culprit:
                break
    return [[dict(output) for output in cell.outputs] for cell in nb.cells], culprit


if __name__ == "__main__":
    _inside(sys.argv[1])
