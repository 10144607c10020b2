"""Tiny notebooks built from a few lines each: what the strict runner must pass, and what it must refuse."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

PARAMETERS = 'profile = "smoke"\nsource = "embedded"\nseed = 0\nscale = 1.0'
OPEN = 'from csi_utils import claims\n\nledger = claims.open("tiny", profile=profile, seed=seed, folder=".")'
RECORD = 'ledger.record("C1.answer", 42.0 * scale, dataset="none", protocol="none", trivial=0.0)'
CLOSE = "ledger.close()"

# Ten seeds whose band is 41.5 to 42.5 s; the notebook "spread" has no bands before a test measures them.
CLAIMS = {"tiny": """\
title = "A tiny paper"
[claims.C1]
says = "The answer is 42"
value = 42
unit = "s"
where = "page 1"
evidence = "paper"
[measures."C1.answer"]
dataset = "none"
what = "the answer"
unit = "s"
better = "higher"
holds = ">= 41"
controls = ["trivial"]
""", "spread": """\
title = "A tiny paper with a spread"
[additions.C1]
asks = "Is the answer about 42?"
[measures.C1]
dataset = "none"
what = "the answer"
unit = "s"
better = "lower"
holds = "<= 45"
controls = ["trivial"]
"""}
BANDS = """\
[smoke."C1.answer"]
date = "2026-11-28"
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
values = [42.118, 41.882, 42.118, 41.882, 42.118, 41.882, 42.118, 41.882, 42.118, 41.882]
controls = { trivial = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
"""

# One cell that stands between the opened ledger and the record.
BETWEEN = {
    "bash_cell": "%%bash\nfalse",
    "error": "1 / 0",
    "guard_gone": "import importlib\n\nimport csi_papers.run.guard\n\nimportlib.reload(csi_papers.run.guard);",
    "kernel_dies": "import os\n\nos._exit(0)",
    "magic": "%pip --version",
    "os_system": "import os\n\nos.system('false')",
    "shell_call": "get_ipython().system('false')",
    "shell_line": "!false",
    "sys_exit": "import sys\n\nsys.exit(0)",
    "child_error": """\
import multiprocessing
def boom():
    1 / 0
child = multiprocessing.get_context('fork').Process(target=boom)
child.start()
child.join()""",
    "exercise_wrong": """\
from csi_utils import exercises
exercises.check(lambda x: -x, [exercises.case(1.0, expect=1.0)], name='same')""",
    "hangs": """\
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])
Path(pid_file).write_text(f'{os.getpid()} {child.pid}')
time.sleep(3600)""",
    "network": """\
import urllib.request
try:
    urllib.request.urlopen('http://192.0.2.1/data', timeout=1)
except OSError:
    pass""",
    "network_in_child": """\
import subprocess, sys
code = "import socket; socket.getaddrinfo('example.org', 80)"
subprocess.run([sys.executable, '-c', code], capture_output=True)""",
    "quits": "quit()",
    "task_error": """\
import asyncio
async def boom():
    1 / 0
asyncio.ensure_future(boom());""",
    "thread_error": "import threading\n\nthreading.Thread(target=lambda: 1 / 0).start()",
    "workers": """\
import os, types, torch
from csi_utils import training
bridge = types.SimpleNamespace(classes=3)
def where(number):
    return os.getpid(), torch.arange(bridge.classes)[number].item()
found = training.repeat(where, range(3))
assert [number for _, number in found] == [0, 1, 2]
assert training.workers() == 1 or os.getpid() not in {pid for pid, _ in found}""",
}
TAGS = {"raises_exception": "raises-exception", "skipped_cell": "skip-execution",
        "deleted_cell": "injected-parameters"}
PAUSE = {"quits": "import time\n\ntime.sleep(0.2)", "task_error": "await asyncio.sleep(0.1)"}
LATE = """\
import threading, time
def late():
    time.sleep(0.1)
    1 / 0
threading.Thread(target=late).start()"""


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def cells(name):
    """The cells of one of these notebooks below its title: the good one with one thing changed."""
    parameters, opened, record, close = code(PARAMETERS, "parameters"), code(OPEN), code(RECORD), code(CLOSE)
    good = [parameters, opened, record, close]
    if name == "hangs":
        parameters.source += '\npid_file = ""'
    if name in PAUSE:  # the kernel takes a moment to end, or to look at the task
        return [parameters, opened, code(BETWEEN[name]), code(PAUSE[name]), record, close]
    if name in BETWEEN:
        return [parameters, opened, code(BETWEEN[name]), record, close]
    if name in TAGS:
        return [parameters, opened, code("raise ValueError('hidden')", TAGS[name]), record, close]
    return {
        "good": good,
        "spread": [code(PARAMETERS.replace("scale = 1.0", "shift = 0.0"), "parameters"),
                   code(OPEN.replace("tiny", "spread")),
                   code("import random\n\nvalue = 42 + shift + random.Random(seed).random()"),
                   code('ledger.record("C1", value, dataset="none", protocol="none", trivial=60.0)'), close],
        "control_passes": [parameters, opened, code(RECORD.replace("trivial=0.0", "trivial=42.0")), close],
        "empty": [parameters, code("")],
        "kernel_dies_last": [*good, code(BETWEEN["kernel_dies"])],
        "late_thread_error": [*good, code(LATE)],
        "ledger_incomplete": [parameters, opened, close],
        "ledger_not_closed": [parameters, opened, record],
        "ledger_other_seed": [parameters, code("seed = 7"), opened, record, close],
        "no_ledger": [parameters, code("answer = 42")],
        "out_of_band": [parameters, opened, code(RECORD.replace("42.0 * scale", "43.0")), close],
        "out_of_band_swallowed": [parameters, opened, code(RECORD.replace("42.0 * scale", "43.0")),
                                  code("try:\n    ledger.close()\nexcept AssertionError:\n    pass")],
        "parameters_derived": [code(PARAMETERS + " + seed", "parameters"), opened, record, close],
        "parameters_doubled": [parameters, code(PARAMETERS, "parameters"), opened, record, close],
        "parameters_missing": [code(PARAMETERS), opened, record, close],
        "parameters_not_first": [code("answer = 42"), *good],
        "raw_cell": [parameters, opened, new_raw_cell("raise ValueError('never seen')"), record, close],
    }[name]


def build(name, folder):
    """Write the notebook `name` and the ledgers of all of them into a folder; returns the notebook's path."""
    folder = Path(folder)
    nb = new_notebook(cells=[new_markdown_cell(f"# {name.replace('_', ' ')}"), *cells(name)])
    nb.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                   "language_info": {"name": "python"}}
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"c{number}"
    for kind in ("claims", "bands"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for stem, text in CLAIMS.items():
        (folder / "claims" / f"{stem}.toml").write_text(text, encoding="utf-8")
    (folder / "bands" / "tiny.toml").write_text(BANDS, encoding="utf-8")
    path = folder / f"{name}.ipynb"
    nbformat.write(nb, path)
    return path
