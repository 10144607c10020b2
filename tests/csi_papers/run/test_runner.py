"""The strict runner: each silent failure of papermill, as a tiny notebook, is refused with its own message."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import bad_notebooks
import nbformat
import pytest
from bad_notebooks import build

from csi_papers import __main__
from csi_papers.run import engine
from csi_papers.run import notebook as checks
from csi_papers.run.runner import run_many, run_notebook

pytestmark = pytest.mark.notebook
REFUSED = {
    "child_error": "a child process failed: .* exit status 1",
    "control_passes": "the control trivial, 42 s, is not kept out by the band",
    "error": r"cell 4 \(1 / 0\) raised ZeroDivisionError",
    "exercise_wrong": "exercise same: wrong",
    "guard_gone": "the guard was not active at the end",
    "kernel_dies": r"cell 4 .*the kernel died",
    "kernel_dies_last": r"cell 6 .*the kernel died",
    "late_thread_error": "a thread died: .*ZeroDivisionError",
    "ledger_incomplete": "C1.answer: neither recorded nor stated as not run",
    "ledger_not_closed": "the ledger tiny was never closed",
    "ledger_other_seed": "opened with seed 7, the run has 0",
    "network": "network attempt .*192.0.2.1",
    "network_in_child": "network attempt .*example.org",
    "no_ledger": "no ledger was opened",
    "os_system": "a shell command was tried: os.system",
    "out_of_band": "43 s left its band 41.5 to 42.5 s",
    "out_of_band_swallowed": "out of band: C1.answer: 43 s left its band",
    "quits": "the kernel died",
    "shell_call": "raised Refused: a shell command is not allowed",
    "sys_exit": r"cell 4 \(import sys\) ended the notebook with sys.exit",
    "task_error": "a task died: .*ZeroDivisionError",
    "thread_error": "a thread died: .*ZeroDivisionError",
}


def run_tiny(name, tmp_path, **options):
    """The result of one of the tiny notebooks; what it wrote lies in tmp_path/out."""
    return run_notebook(build(name, tmp_path), tmp_path / "out", **options)


def test_good_notebook_passes_and_its_json_holds_what_is_documented(tmp_path):
    out = tmp_path / "out"
    result = run_tiny("good", tmp_path)
    assert result["status"] == "ok"
    assert result == json.loads((out / "good.json").read_text())
    assert list(result) == ["notebook", "profile", "source", "seed", "seconds", "status", "claims", "environment"]
    assert (result["notebook"], result["profile"], result["source"], result["seed"]) == ("good", "smoke", "embedded", 0)
    (claim,) = result["claims"]
    assert {"id", "value", "unit", "paper_value", "dataset", "protocol", "band", "verdict"} <= set(claim)
    assert (claim["id"], claim["value"], claim["band"]) == ("C1.answer", 42.0, [41.5, 42.5])
    assert claim["verdict"] == "holds here"
    executed = nbformat.read(out / "good.ipynb", as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    assert len(executed.cells) == len(bad_notebooks.cells("good")) + 2  # the title and the injected parameters
    text = (out / "good.ipynb").read_text() + (out / "good.json").read_text()
    assert str(tmp_path) not in text and str(Path.home()) + "/" not in text
    assert sorted(p.name for p in out.iterdir()) == ["good.ipynb", "good.json"]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name, tmp_path):
    result = run_tiny(name, tmp_path)
    assert result["status"].startswith("failed: ")
    assert re.search(REFUSED[name], result["status"]), result["status"]
    assert (tmp_path / "out" / f"{name}.ipynb").is_file() and (tmp_path / "out" / f"{name}.json").is_file()


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def within_minutes(condition):
    """Wait until it is so; False when it is not after five minutes, which no machine is busy enough for."""
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def gone(pids):
    """Are the kernel and the child whose ids the notebook wrote down gone, or about to be?"""
    kernel, child = map(int, pids.read_text().split())
    return within_minutes(lambda: not alive(kernel) and not alive(child))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("limits", "message"), [
    (dict(cell_timeout=3), r"cell 4 \(.*\): no answer within the limit of 3 s; the kernel was killed"),
    (dict(notebook_timeout=3), "the notebook ran past its limit of 3 s"),
])
def test_hanging_kernel_is_stopped_with_its_children(tmp_path, monkeypatch, limits, message):
    class Patient(engine.Session):
        """The clock starts with the cell that hangs: how fast the others are does not matter."""

        def time_left(self, cell):
            if "time.sleep(3600)" not in cell.source:
                return 600
            self.deadline = time.monotonic() + self.notebook_timeout
            return super().time_left(cell)

    monkeypatch.setattr(engine, "Session", Patient)
    pids = tmp_path / "pids"
    result = run_tiny("hangs", tmp_path, parameters={"pid_file": str(pids)}, **limits)
    assert re.search(message, result["status"]), result["status"]
    assert gone(pids)


def test_a_kernel_that_is_just_being_started_when_all_are_stopped_stops_too(tmp_path):
    """Else a run that was ended between two notebooks would work on, with nobody to stop it."""
    engine.stop_all()
    try:
        result = run_tiny("good", tmp_path)
    finally:
        engine.ENDING.clear()
    assert result["status"].startswith("failed") and not engine.LIVE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_runner_that_is_stopped_takes_kernels_and_children_along(tmp_path, sign, status):
    pids = tmp_path / "pids"
    runner = subprocess.Popen([sys.executable, "-m", "csi_papers", "run", str(build("hangs", tmp_path)), "--profile",
                               "smoke", "--out", str(tmp_path / "out"), "-p", "pid_file", str(pids)],
                              stderr=subprocess.PIPE,
                              # a test run in the background of a script ignores SIGINT, and its children would too
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert within_minutes(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    runner.send_signal(sign)
    runner.communicate(timeout=600)
    assert runner.returncode == status
    assert gone(pids)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"sede": 1}, "unknown parameter 'sede', expected one of profile, source, seed, scale"),
    ({"seed": "abc"}, "parameter seed: got 'abc', expected int as its default 0"),
    ({"seed": 1.5}, "parameter seed: got 1.5, expected int"),
    ({"seed": True}, "parameter seed: got True, expected int"),
    ({"scale": "much"}, "parameter scale: got 'much', expected float"),
    ({"profile": "fast"}, "parameter profile: got 'fast', expected one of smoke, standard, full"),
    ({"source": "web"}, "parameter source: got 'web'"),
])
def test_wrong_parameters_are_refused_before_anything_runs(tmp_path, parameters, message):
    with pytest.raises(checks.Refused, match=re.escape(message)):
        run_tiny("good", tmp_path, parameters=parameters)
    assert not (tmp_path / "out").exists()


def test_parameters_arrive_with_their_type(tmp_path):
    assert run_tiny("good", tmp_path, parameters={"scale": 1})["status"] == "ok"
    assert "left its band" in run_tiny("good", tmp_path, parameters={"scale": "1.1"})["status"]


def test_stale_results_do_not_outlive_a_failed_run(tmp_path):
    notebook = build("good", tmp_path)
    out = tmp_path / "out"
    assert run_notebook(notebook, out)["status"] == "ok"
    notebook.write_text("broken")
    run_notebook(notebook, out)
    assert json.loads((out / "good.json").read_text())["status"] != "ok" and not (out / "good.ipynb").exists()


def test_resume_runs_only_what_changed(tmp_path, capsys):
    notebook = build("good", tmp_path)
    out = tmp_path / "out"
    first = run_many([notebook], out, resume=True)
    assert run_many([notebook], out, resume=True) == first and "(kept)" in capsys.readouterr().out
    assert run_many([notebook], out, seed=1, resume=True)[0]["seed"] == 1
    nb = nbformat.read(notebook, 4)
    nb.cells[-1].source += "  # changed"
    nbformat.write(nb, notebook)
    again = run_many([notebook], out, seed=1, resume=True)
    assert "(kept)" not in capsys.readouterr().out and again[0]["status"] == "ok"


def test_the_same_seed_gives_the_same_bits(tmp_path):
    values = []
    for name in ("one", "two"):
        values.append(run_tiny("spread", tmp_path / name, seed=5, measure=True)["claims"][0]["value"])
    assert values[0] == values[1]


def test_the_bands_switch_of_a_shell_does_not_reach_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("CSI_CLAIMS_MEASURE", "1")
    assert "left its band" in run_tiny("out_of_band", tmp_path)["status"]


def test_two_at_a_time_and_one_that_fails(tmp_path):
    notebooks = [build(name, tmp_path) for name in ("good", "error", "spread")]
    results = run_many(notebooks, tmp_path / "out", jobs=2, quiet=True)
    assert [r["notebook"] for r in results] == ["good", "error", "spread"]
    assert [r["status"] == "ok" for r in results] == [True, False, False]


def test_command_line_exit_status_and_table(tmp_path, capsys):
    def command(*arguments):
        status = __main__.main(["run", "--profile", "smoke", "--out", str(tmp_path / "out"), *map(str, arguments)])
        return status, capsys.readouterr().out

    good, leaves = build("good", tmp_path), build("sys_exit", tmp_path)
    status, said = command(good)
    assert status == 0 and "C1.answer" in said and "✓ holds here" in said and "1 of 1 notebooks" in said
    status, said = command(good, leaves)
    assert status == 1 and "FAILED sys_exit: cell 4" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "good.ipynb", "good.json", "sys_exit.ipynb", "sys_exit.json"]


def test_a_run_that_was_given_a_broken_guard_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "INSTALL", "1 / 0")
    assert "the guard was not active" in run_tiny("good", tmp_path)["status"]


def test_kernel_that_never_answers_is_tried_once_more(tmp_path, monkeypatch):
    tries = []
    real = engine.Session

    def session(*args):
        tries.append(1)
        made = real(*args)
        if len(tries) == 1:
            made.env["PYTHONHOME"] = str(tmp_path)  # a Python that cannot start
        return made

    monkeypatch.setattr(engine, "Session", session)
    assert run_tiny("good", tmp_path)["status"] == "ok" and len(tries) == 2


def test_network_is_allowed_where_it_is_meant_to_be(tmp_path):
    # The notebook hides its own OSError, so only the guard could fail it.
    assert run_tiny("network", tmp_path, network=True)["status"] == "ok"


@pytest.mark.parametrize(("name", "message"), [
    ("raises_exception", "raised ValueError: hidden"), ("skipped_cell", "raise ValueError.* did not run"),
    ("deleted_cell", "ok"),
])
def test_what_the_tags_do_is_seen_in_the_kernel_too(tmp_path, monkeypatch, name, message):
    """Without the check of tags; the deleted cell shows why that check is there: nothing else could see it."""
    monkeypatch.setattr(checks, "BANNED_TAGS", {})
    assert re.search(message, run_tiny(name, tmp_path)["status"])


def test_a_kernel_that_lost_count_did_not_run_it_all(tmp_path):
    path = build("good", tmp_path)
    nb = nbformat.read(path, as_version=4)
    nb.cells[2].source += "\nimport csi_papers.run.guard\n\ncsi_papers.run.guard.CELLS = -1  # as after a restart"
    nbformat.write(nb, path)
    assert "of 5 code cells ran in the kernel" in run_notebook(path, tmp_path / "out")["status"]
