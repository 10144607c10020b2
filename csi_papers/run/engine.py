"""The papermill engine of the strict runner: one guarded kernel for one notebook.

papermill and nbclient do the work; this adds what they leave out: an error is an error whatever a tag says,
time limits that count the whole notebook, a last question to the guard, and no process left behind.
"""

import ast
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path

from nbclient.exceptions import CellExecutionError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

ENGINE = "csi-strict"
LIVE = set()  # process groups of running kernels, for whoever has to stop them all
ENDING = threading.Event()  # set by `stop_all`: a kernel that was just being started then stops itself
INSTALL = "__import__('csi_papers.run.guard').run.guard.install_in_kernel()"  # leaves no name behind
_SITECUSTOMIZE = """\
import importlib.machinery, importlib.util, os, sys
import csi_papers.run.guard
csi_papers.run.guard.install()
# The environment's own sitecustomize, if it has one, has its turn too.
sys.path.remove(os.path.dirname(__file__))
spec = importlib.machinery.PathFinder.find_spec("sitecustomize")
if spec:
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


class TimeLimit(Exception):
    """A cell, or the notebook as a whole, ran past its limit."""


class Session:
    """What one run gives its engine, and gets back: nb, cell (the running one), report, error, events."""

    def __init__(self, folder, cwd, env, cell_timeout, notebook_timeout):
        """folder: an empty scratch folder. cwd: the kernel's. env: variables besides ours. Timeouts in s."""
        self.folder, self.cwd = Path(folder), str(cwd)
        self.cell_timeout, self.notebook_timeout = cell_timeout, notebook_timeout
        self.deadline = time.monotonic() + notebook_timeout
        self.nb = self.cell = self.report = self.error = None
        self.ready = False
        self.token = secrets.token_hex(8)
        (self.folder / "site").mkdir()
        (self.folder / "site" / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
        paths = [str(self.folder / "site"), *filter(None, [env.get("PYTHONPATH")])]
        self.env = env | {
            "PYTHONPATH": os.pathsep.join(paths),
            "IPYTHONDIR": str(self.folder / "ipython"),  # a person's start-up files are not part of a notebook
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "CSI_GUARD_TOKEN": self.token,
            "CSI_GUARD_LOG": str(self.folder / "events"),
        }

    def events(self):
        """What the guard wrote down, in order, each once."""
        log = self.folder / "events"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return list(dict.fromkeys(map(json.loads, lines)))

    def time_left(self, _cell):
        """The running cell's limit in seconds; nbclient takes 0 as no limit."""
        return max(0.1, min(self.cell_timeout, self.deadline - time.monotonic()))


class StrictClient(PapermillNotebookClient):
    """papermill's client with a session."""

    def __init__(self, nb_man, session, **options):
        super().__init__(nb_man, **options)
        self.session = session

    def papermill_execute_cells(self):
        super().papermill_execute_cells()
        if not self.nb.metadata.papermill.get("exception"):
            self._ask_guard()

    def _ask_guard(self):
        """The proof that this kernel reached the end under the guard; leaves no cell in the notebook."""
        self.session.cell = None
        question = "__import__('csi_papers.run.guard').run.guard.report()"
        reply = self.wait_for_reply(self.kc.execute("", silent=True, user_expressions={"guard": question}))
        answer = reply["content"].get("user_expressions", {}).get("guard", {})
        if answer.get("status") == "ok":
            self.session.report = json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    async def _async_handle_timeout(self, timeout, cell=None):
        session = self.session
        if time.monotonic() >= session.deadline:
            raise TimeLimit(f"the notebook ran past its limit of {session.notebook_timeout:g} s")
        raise TimeLimit(f"no answer within the limit of {session.cell_timeout:g} s")


class StrictEngine(NBClientEngine):
    """Runs a notebook in a StrictClient; papermill finds it under the name ENGINE."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, session=None, **_):
        session.nb = nb_man.nb
        groups = set()

        def started(**_):
            session.ready = True
            groups.add(client.km.provisioner.pid)
            LIVE.update(groups)
            if ENDING.is_set():
                stop(groups)

        def on_cell(cell, **_):
            session.cell = cell

        client = StrictClient(
            nb_man, session, kernel_name=kernel_name,
            # Without this, ipykernel 7 warns that other users of the machine could listen on its TCP ports.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            extra_arguments=[f"--IPKernelApp.exec_lines={INSTALL}"],
            force_raise_errors=True, shutdown_kernel="immediate", startup_timeout=300, iopub_timeout=60,
            coalesce_streams=True,  # a progress bar that has gone leaves nothing behind
            timeout=max(1, round(session.cell_timeout)), timeout_func=session.time_left,
            shell_timeout_interval=1, store_widget_state=False, on_notebook_start=started, on_cell_start=on_cell)
        try:
            with contextlib.suppress(CellExecutionError):  # kept in the outputs, where papermill looks for it
                client.execute(env=session.env, cwd=session.cwd)
        finally:
            stop(groups)


def stop(groups):
    """Kill the kernels' process groups with all that they started. A kernel leads its own group on POSIX."""
    for group in set(groups):
        LIVE.discard(group)
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left in it
                os.killpg(group, signal.SIGKILL)


def stop_all():
    """Stop every kernel, also one that has yet to say that it is there."""
    ENDING.set()
    stop(LIVE)


papermill_engines.register(ENGINE, StrictEngine)
