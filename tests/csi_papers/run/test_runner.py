"""The strict runner: each silent failure of papermill, as a tiny notebook, is refused with its own message."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from csi_papers import __main__
from csi_papers.run import notebook as checks
from csi_papers.run import runner as run
from csi_papers.run.runner import run_many, run_notebook
from csi_utils import claims

BAD = Path(__file__).parents[2] / "bad_notebooks"
REFUSED = {
    "bash_cell": "a shell line or a magic: %%bash",
    "child_error": "a child process failed: .* exit status 1",
    "control_passes": "the control trivial, 42 s, is not kept out by the band",
    "deleted_cell": "the tag injected-parameters",
    "empty": "the notebook is empty",
    "error": r"cell 4 \(1 / 0\) raised ZeroDivisionError",
    "exercise_wrong": "exercise same: wrong",
    "guard_gone": "the guard was not active at the end",
    "kernel_dies": r"cell 4 .*the kernel died",
    "kernel_dies_last": r"cell 6 .*the kernel died",
    "late_thread_error": "a thread died: .*ZeroDivisionError",
    "ledger_incomplete": "C1.answer: neither recorded nor stated as not run",
    "ledger_not_closed": "the ledger tiny was never closed",
    "ledger_other_seed": "opened with seed 7, the run has 0",
    "magic": "a shell line or a magic: %pip",
    "network": "network attempt .*192.0.2.1",
    "network_in_child": "network attempt .*example.org",
    "no_ledger": "no ledger was opened",
    "os_system": "a shell command was tried: os.system",
    "out_of_band": "43 s left its band 41.5 to 42.5 s",
    "out_of_band_swallowed": "out of band: C1.answer: 43 s left its band",
    "parameters_derived": "derives scale = 1.0 \\+ seed, expected a literal",
    "parameters_doubled": "2 cells have the tag parameters",
    "parameters_missing": "0 cells have the tag parameters",
    "parameters_not_first": "holds the parameters, expected in the first code cell",
    "quits": "the kernel died",
    "raises_exception": "the tag raises-exception, which hides an error",
    "raw_cell": "a raw cell, which never runs",
    "shell_call": "raised Refused: a shell command is not allowed",
    "shell_line": "a shell line or a magic: !false",
    "skipped_cell": "the tag skip-execution",
    "sys_exit": r"cell 4 \(import sys\) ended the notebook with sys.exit",
    "task_error": "a task died: .*ZeroDivisionError",
    "thread_error": "a thread died: .*ZeroDivisionError",
}


def test_every_bad_notebook_has_its_test():
    assert {p.stem for p in BAD.glob("*.ipynb")} == {*REFUSED, "good", "hangs", "spread"}


def test_good_notebook_passes_and_its_json_holds_what_is_documented(tmp_path):
    result = run_notebook(BAD / "good.ipynb", tmp_path)
    assert result["status"] == "ok"
    assert result == json.loads((tmp_path / "good.json").read_text())
    assert list(result) == ["notebook", "profile", "source", "seed", "seconds", "status", "claims", "environment"]
    assert (result["notebook"], result["profile"], result["source"], result["seed"]) == ("good", "smoke", "embedded", 0)
    (claim,) = result["claims"]
    assert {"id", "value", "unit", "paper_value", "dataset", "protocol", "band", "verdict"} <= set(claim)
    assert (claim["id"], claim["value"], claim["band"]) == ("C1.answer", 42.0, [41.5, 42.5])
    assert claim["verdict"] == "holds here"
    executed = nbformat.read(tmp_path / "good.ipynb", as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    assert len(executed.cells) == len(nbformat.read(BAD / "good.ipynb", as_version=4).cells) + 1  # the injected one
    text = (tmp_path / "good.ipynb").read_text() + (tmp_path / "good.json").read_text()
    assert str(BAD) not in text and str(tmp_path) not in text and str(Path.home()) + "/" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.ipynb", "good.json"]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name, tmp_path):
    result = run_notebook(BAD / f"{name}.ipynb", tmp_path)
    assert result["status"].startswith("failed: ")
    assert re.search(REFUSED[name], result["status"]), result["status"]
    assert (tmp_path / f"{name}.ipynb").is_file() and (tmp_path / f"{name}.json").is_file()


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pids):
    """Are the kernel and the child whose ids the notebook wrote down gone, or about to be?"""
    kernel, child = map(int, pids.read_text().split())
    deadline = time.monotonic() + 5
    while (alive(kernel) or alive(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(kernel) and not alive(child)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("limits", "message"), [
    (dict(cell_timeout=2), r"cell 4 \(.*\): no answer within the limit of 2 s; the kernel was killed"),
    (dict(notebook_timeout=3), "the notebook ran past its limit of 3 s"),
])
def test_hanging_kernel_is_stopped_with_its_children(tmp_path, limits, message):
    pids = tmp_path / "pids"
    start = time.monotonic()
    result = run_notebook(BAD / "hangs.ipynb", tmp_path, parameters={"pid_file": str(pids)}, **limits)
    assert re.search(message, result["status"]), result["status"]
    assert time.monotonic() - start < 15
    assert gone(pids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_runner_that_is_stopped_takes_kernels_and_children_along(tmp_path, sign, status):
    pids = tmp_path / "pids"
    runner = subprocess.Popen([sys.executable, "-m", "csi_utils", "run", str(BAD / "hangs.ipynb"), "--profile", "smoke",
                               "--out", str(tmp_path / "out"), "-p", "pid_file", str(pids)], stderr=subprocess.PIPE,
                              # a test run in the background of a script ignores SIGINT, and its children would too
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    deadline = time.monotonic() + 30
    while not (pids.exists() and len(pids.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    runner.send_signal(sign)
    runner.communicate(timeout=60)
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
    result = run_notebook(BAD / "good.ipynb", tmp_path, parameters=parameters)
    assert message in result["status"]
    assert not any(c.get("execution_count") for c in nbformat.read(tmp_path / "good.ipynb", 4).cells)


def test_parameters_arrive_with_their_type(tmp_path):
    assert run_notebook(BAD / "good.ipynb", tmp_path, parameters={"scale": 1})["status"] == "ok"
    assert "left its band" in run_notebook(BAD / "good.ipynb", tmp_path, parameters={"scale": "1.1"})["status"]
    assert checks.fit({"flag": False, "names": [], "path": None}, {"flag": "true", "names": "['a']", "path": "x"}) == {
        "flag": True, "names": ["a"], "path": "x"}


@pytest.mark.parametrize("source", ["seed = 0\nprint(1)", "a = b = 1", "a, b = 1, 2", "a += 1", "import os",
                                    "seed = 0\nseed = 1", "x = [i for i in 'a']", "x = f'{1}'", "x: int"])
def test_only_literals_are_parameters(source):
    with pytest.raises(checks.Refused):
        checks.literals('profile = "smoke"\nsource = "auto"\n' + source)


def test_files_that_are_no_notebooks(tmp_path):
    for name, text in [("text", "hello"), ("json", "{}"), ("binary", "\0"), ("list", "[1]")]:
        (tmp_path / f"{name}.ipynb").write_text(text)
        result = run_notebook(tmp_path / f"{name}.ipynb", tmp_path / "out")
        assert result["status"].startswith("failed: refused: not a valid notebook"), result["status"]
    assert "refused" in run_notebook(tmp_path / "absent.ipynb", tmp_path / "out")["status"]


def test_stale_results_do_not_outlive_a_failed_run(tmp_path):
    notebook = tmp_path / "good.ipynb"
    shutil.copy(BAD / "good.ipynb", notebook)
    shutil.copy(BAD / "claims.toml", tmp_path)
    out = tmp_path / "out"
    assert run_notebook(notebook, out)["status"] == "ok"
    notebook.write_text("broken")
    run_notebook(notebook, out)
    assert json.loads((out / "good.json").read_text())["status"] != "ok" and not (out / "good.ipynb").exists()


def test_resume_runs_only_what_changed(tmp_path, capsys):
    notebook = tmp_path / "good.ipynb"
    shutil.copy(BAD / "good.ipynb", notebook)
    shutil.copy(BAD / "claims.toml", tmp_path)
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
        values.append(run_notebook(BAD / "spread.ipynb", tmp_path / name, seed=5, measure=True)["claims"][0]["value"])
    assert values[0] == values[1]


def test_the_bands_switch_of_a_shell_does_not_reach_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("CSI_CLAIMS_MEASURE", "1")
    assert "left its band" in run_notebook(BAD / "out_of_band.ipynb", tmp_path)["status"]


def test_two_at_a_time_and_one_that_fails(tmp_path):
    results = run_many([BAD / "good.ipynb", BAD / "error.ipynb", BAD / "spread.ipynb"], tmp_path, jobs=2, quiet=True)
    assert [r["notebook"] for r in results] == ["good", "error", "spread"]
    assert [r["status"] == "ok" for r in results] == [True, False, False]
    with pytest.raises(ValueError, match="two have the same name"):
        run_many([BAD / "good.ipynb", tmp_path / "good.ipynb"], tmp_path)


def test_command_line_exit_status_and_table(tmp_path, capsys):
    def command(*arguments):
        status = __main__.main(["run", "--profile", "smoke", "--out", str(tmp_path), *map(str, arguments)])
        return status, capsys.readouterr().out

    status, said = command(BAD / "good.ipynb")
    assert status == 0 and "C1.answer" in said and "✓ holds here" in said and "1 of 1 notebooks" in said
    status, said = command(BAD / "good.ipynb", BAD / "sys_exit.ipynb")
    assert status == 1 and "FAILED sys_exit: cell 4" in said
    status, said = command(BAD / "good.ipynb", "-p", "seed", "abc")
    assert status == 1 and "expected int" in said
    status, said = command(BAD / "good.ipynb", "-p", "sede", "1")
    assert status == 1 and "unknown parameter 'sede'" in said


def test_no_notebook_at_all_is_not_a_green_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert __main__.main(["run"]) == 2
    assert "no notebooks" in capsys.readouterr().err


def test_command_line_refuses_nonsense(capsys):
    for arguments in (["run", "--profile", "fast"], ["run", "--jobs", "0"], ["bands", "x.ipynb", "--seeds", "a:b"],
                      ["bands", "x.ipynb", "--seeds", "5:5"], []):
        with pytest.raises(SystemExit) as stop:
            __main__.main(arguments)
        assert stop.value.code == 2
    capsys.readouterr()


def test_a_run_that_was_given_a_broken_guard_says_so(tmp_path, monkeypatch):
    from csi_papers.run import engine
    monkeypatch.setattr(engine, "INSTALL", "1 / 0")
    assert "the guard was not active" in run_notebook(BAD / "good.ipynb", tmp_path)["status"]


def test_kernel_that_never_answers_is_tried_once_more(tmp_path, monkeypatch):
    from csi_papers.run import engine
    tries = []
    real = engine.Session

    def session(*args):
        tries.append(1)
        made = real(*args)
        if len(tries) == 1:
            made.env["PYTHONHOME"] = str(tmp_path)  # a Python that cannot start
        return made

    monkeypatch.setattr(engine, "Session", session)
    assert run_notebook(BAD / "good.ipynb", tmp_path)["status"] == "ok" and len(tries) == 2


def test_network_is_allowed_where_it_is_meant_to_be(tmp_path):
    # The notebook hides its own OSError, so only the guard could fail it.
    assert run_notebook(BAD / "network.ipynb", tmp_path, network=True)["status"] == "ok"


def test_real_data_are_asked_for_once_and_in_time(monkeypatch):
    from csi_utils import datasets
    from csi_utils.files import sources
    monkeypatch.setattr(sources, "registry", lambda: {"near": {}, "far": {}})
    monkeypatch.setattr(datasets, "available", lambda name: (True, "mirror: here") if name == "near" else (False, "no"))
    assert run.real_data("embedded")["offline"]
    assert run.real_data("auto") == {"sets": {"near": "mirror: here", "far": "no"}, "found": ["near"], "offline": True}
    monkeypatch.setattr(datasets, "available", lambda name: (True, "public source: https://example.org/x"))
    assert run.real_data("auto")["offline"] is False
    monkeypatch.setattr(datasets, "available", lambda name: time.sleep(60))
    start = time.monotonic()
    assert run.real_data("auto")["found"] == [] and time.monotonic() - start < 6


def test_a_relative_mirror_is_relative_to_where_the_runner_was_started(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSI_DATA_MIRROR", "mirror")
    monkeypatch.setenv("CSI_GUARD_TOKEN", "stale")
    env = run._environment_of_kernel(True, 1, False, None)
    assert env["CSI_DATA_MIRROR"] == str(tmp_path / "mirror") and env["OMP_NUM_THREADS"] == "1"
    assert "CSI_GUARD_TOKEN" not in env and "CSI_GUARD_NETWORK" not in env
    blocked = run._environment_of_kernel(False, None, False, None)
    assert blocked["CSI_GUARD_NETWORK"] == "block" and blocked["CSI_DATA_OFFLINE"] == "1"


def test_runner_overhead(tmp_path):
    """At most 3 s a notebook; the kernel of this one has next to nothing to do."""
    seconds = min(run_notebook(BAD / "good.ipynb", tmp_path)["seconds"] for _ in range(2))
    assert seconds < 3, seconds


def test_light_commands_import_no_heavy_module():
    code = ("import sys, csi_papers.__main__ as m; m._parser(); import csi_utils.claims\n"
            "print([n for n in ('papermill', 'torch', 'numpy', 'nbformat') if n in sys.modules])")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_every_ledger_here_is_valid():
    for file in BAD.glob("*.toml"):
        claims.load(file)


@pytest.mark.parametrize(("name", "message"), [
    ("raises_exception", "raised ValueError: hidden"), ("skipped_cell", "raise ValueError.* did not run"),
    ("deleted_cell", "ok"),
])
def test_what_the_tags_do_is_seen_in_the_kernel_too(tmp_path, monkeypatch, name, message):
    """Without the check of tags; the deleted cell shows why that check is there: nothing else could see it."""
    monkeypatch.setattr(checks, "BANNED_TAGS", {})
    assert re.search(message, run_notebook(BAD / f"{name}.ipynb", tmp_path)["status"])


def test_a_kernel_that_lost_count_did_not_run_it_all(tmp_path):
    nb = nbformat.read(BAD / "good.ipynb", as_version=4)
    nb.cells[2].source += "\nimport csi_papers.run.guard\n\ncsi_utils.guard.CELLS = -1  # as after a restart"
    nbformat.write(nb, tmp_path / "restarted.ipynb")
    shutil.copy(BAD / "claims.toml", tmp_path)
    assert "of 5 code cells ran in the kernel" in run_notebook(tmp_path / "restarted.ipynb", tmp_path / "out")["status"]
