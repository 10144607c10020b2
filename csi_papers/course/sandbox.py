"""A student's process: their cells run there, and their functions are asked there, where they can do no harm.

The process (`inside`) has next to no environment variables and sits in a sandbox (bubblewrap) where the machine has
one: no network, nothing readable but Python and our packages, nothing writable but a small scratch folder in memory,
no other process to be seen. Requests go in and plain data come out, through two pipes; no check goes in, and nothing
that the process says is believed to be more than an answer.
"""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from csi_utils import ROOT

CPU = 30  # s that a cell of a student, or all calls of one check, may compute
WHOLE = 10  # times that: the course's own cells, and a submission as a whole
SLOW = 20  # s that a cell may last for each that it computes: a busy machine is not the student's fault
MEMORY, SCRATCH = 4 << 30, 256 << 20  # bytes: of all processes of a submission, of each of two folders in memory
PROCESSES, LARGEST = 100, 16 << 20  # at a time; bytes of an answer
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives",
          "/etc/fonts")
KEPT = ("PATH", "LD_LIBRARY_PATH")  # environment variables that Python may need to start


class Lost(RuntimeError):
    """What became of a submission is not known: there was no process to ask, or the time for all of it was used up."""


class Stopped(RuntimeError):
    """A cell or a call was stopped, or ended Python."""


@functools.cache
def bubblewrap():
    """Path of a bubblewrap that works here, or None: some machines have it and forbid it."""
    found = shutil.which("bwrap")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = [sys.executable, "-c", "import csi_utils, csi_papers.course.plain"]
        if found and subprocess.run([*_wrapped(found), *command], capture_output=True, timeout=120, check=False,
                                    env=environment("/tmp")).returncode == 0:
            return found


def environment(folder):
    """All variables of a student's process, and those that make a notebook run as there."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        "CSI_ROOT": str(ROOT), "CSI_DATA_OFFLINE": "1", "CSI_GUARD_NETWORK": "block", "CSI_WORKERS": "1",
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "agg"}


def _wrapped(bwrap):
    """The command that opens the sandbox: what is not named here is not there."""
    prefixes = dict.fromkeys(map(os.path.abspath, (sys.prefix, sys.base_prefix, sys.exec_prefix)))
    ours = [str(ROOT / name) for name in ("csi_utils", "csi_papers", "data")]  # none of them holds a solution
    shown = [*SYSTEM, *(p for p in prefixes if not p.startswith("/usr")), *ours]
    scratch = [word for name in ("/tmp", "/dev/shm") for word in ("--size", str(SCRATCH), "--tmpfs", name)]
    return [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev", *scratch,
            *(word for path in shown for word in ("--ro-bind-try", path, path)),
            "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


class Student:
    """A process with what a student's cells have defined. To be closed: use it in a `with`.

    When it ends, the next request starts another, where the cells that were not stopped are run again.
    """

    def __init__(self, bwrap=None, cpu=CPU):
        """bwrap: of `bubblewrap`; None: no sandbox. cpu: s of a student's cell."""
        self.bwrap, self.cpu, self.left = bwrap, cpu, WHOLE * cpu
        self.process, self.folder, self.ran, self.number = None, None, [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def run(self, source, cpu):
        """Run a cell. Returns its error, or "". Raises Stopped and Lost."""
        error = self.ask({"run": source}, cpu).get("error", "")
        self.ran.append((source, cpu))
        return str(error)

    def ask(self, request, cpu):
        """The answer to a request, a dict. cpu: s. Raises Stopped, and Lost when the whole time is used up."""
        if self.left <= 0:
            raise Lost("the time for the submission was used up")
        if self.process is None:
            self._start()
        return self._exchange(request, cpu)

    def _start(self):
        self.folder = tempfile.TemporaryDirectory(prefix="csi-grade-", ignore_cleanup_errors=True)
        log = Path(self.folder.name, "log")
        inside = [sys.executable, "-m", "csi_papers.course.inside"]
        home = "/tmp" if self.bwrap else self.folder.name
        try:
            with open(log, "wb") as file:
                self.process = subprocess.Popen(
                    [*_wrapped(self.bwrap), *inside] if self.bwrap else inside, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=file, env=environment(home), cwd=self.folder.name, bufsize=0,
                    start_new_session=True)
            os.set_blocking(self.process.stdin.fileno(), False)
            for source, cpu in [("", WHOLE * self.cpu), *self.ran]:
                self._exchange({"run": source}, cpu)
        except OSError as err:  # no such program
            raise Lost(f"it could not be started: {err}") from None
        except Stopped as err:
            said = " ".join(log.read_text(encoding="utf-8", errors="replace").split()) if log.exists() else ""
            raise Lost(f"it could not be started{' again' if self.ran else ''}: {err}; its log ends with: "
                       f"{said[-300:] or 'nothing'}") from None

    def _exchange(self, request, cpu):
        self.number += 1  # of the request: a line without it is no answer to it
        wanted = min(cpu, self.left)
        line = json.dumps(request | {"id": self.number, "cpu": wanted, "slow": SLOW}).encode() + b"\n"
        begun, before, spent, got, answer = time.monotonic(), None, 0.0, bytearray(), None
        try:
            while answer is None:
                writing = [self.process.stdin] if line else []
                can_read, can_write, _ = select.select([self.process.stdout], writing, [], 0.25)
                if can_write:
                    line = line[os.write(self.process.stdin.fileno(), line[:1 << 16]):]
                if can_read:
                    more = os.read(self.process.stdout.fileno(), 1 << 20)
                    got += more
                    *lines, got = got.split(b"\n") if b"\n" in more else [got]
                    answer = next(filter(None, map(self._read, lines)), None)
                    if not more:
                        raise Stopped("it ended Python (os._exit, or not enough memory?)")
                    if len(got) > LARGEST:
                        raise Stopped(f"the answer has more than {LARGEST >> 20} MB")
                elif not can_write:
                    now = self._used()
                    before = now if before is None else before
                    spent = now - before
                    if spent > wanted + 10 or time.monotonic() - begun > wanted + 10 + SLOW * spent:
                        raise Stopped(_late(cpu))
        except (BrokenPipeError, Stopped) as err:
            self._end()
            raise err if isinstance(err, Stopped) else Stopped("it ended Python") from None
        finally:
            self.left -= spent
        if answer.get("stopped"):
            raise Stopped(_late(cpu))
        return answer

    def _read(self, line):
        """An answer to the last request, or None: whatever a student's process may send."""
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(line)
            if isinstance(answer, dict) and answer.get("id") == self.number:
                return answer

    def _used(self):
        """s of CPU time of all its processes so far. Raises Stopped when they are too many or too large."""
        used = memory = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            every = [top, *top.children(recursive=True)]
            for one in every:
                with contextlib.suppress(psutil.Error):
                    memory += one.memory_info().rss
                    used += sum(one.cpu_times()[:4])  # also of children that have ended
            if len(every) > PROCESSES or memory > MEMORY:
                raise Stopped(f"it took more than {MEMORY >> 30} GB of memory, or {PROCESSES} processes")
        return used

    def _end(self):
        if self.process is not None:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    child.kill()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)  # and whatever is left behind
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None


def _late(cpu):
    return f"stopped: it computed for {cpu:g} s, or waited for something (an endless loop?)"
