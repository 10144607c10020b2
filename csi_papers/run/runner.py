"""The strict runner: execute notebooks with papermill, and refuse what papermill lets pass in silence.

    csi-papers run --profile standard

writes the executed notebook and a JSON of its claims for each. tests/helpers/bad_notebooks.py shows what is refused.
"""

import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import filelock
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm.auto import tqdm  # papermill's

from csi_utils import ROOT, claims, datasets, exercises
from csi_utils.files import sources

from . import engine, notebook
from .notebook import Refused
from .provenance import environment, finished, inputs, write_all

# s: a cell, a notebook. They stop what hangs, so ten times the usual time must fit in, on a busy machine too.
LIMITS = {"smoke": (600, 1200), "standard": (1800, 3600), "full": (24 * 3600, 48 * 3600)}
logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would say, this runner says itself


class Mistaken(ValueError):
    """What was asked for cannot be run; nothing was run or written."""


def run_notebook(path, out_dir, profile="smoke", source=None, seed=0, parameters=None, *, cell_timeout=None,
                 notebook_timeout=None, network=None, workers=None, measure=False, graded=True, real=None, bar=False):
    """Execute one notebook; write out_dir/STEM.ipynb and out_dir/STEM.json. Returns what the JSON holds.

    source: embedded in the smoke profile, else auto. parameters: more papermill parameters, by name.
    cell_timeout, notebook_timeout: seconds (default: by profile). network: may it connect (default: not in a
    smoke run, nor with embedded data)? workers: processes that it may start (default: one a core). measure: collect
    values, do not judge bands. graded: fail when an exercise check did not pass. real: from `real_data`. bar: show
    the progress over its cells.

    A notebook that fails does not raise: "status" is then "failed: " and why. Raises Refused for parameters that it
    does not have, FileNotFoundError without a notebook, OSError when out_dir cannot be written; older files stay then.
    """
    path, out_dir = Path(path), Path(out_dir)
    given = {"profile": profile, "source": source or default_source(profile), "seed": seed} | (parameters or {})
    started, nb, records, reasons = time.monotonic(), None, [], []
    try:
        nb = notebook.read(path)
        defaults = notebook.check(nb)
    except Refused as err:
        reasons = [f"refused: {err}"]
    else:
        given = notebook.fit(defaults, given)
        out_dir.mkdir(parents=True, exist_ok=True)
        if network is None:
            network = given["profile"] != "smoke" and given["source"] != "embedded"
        limits = LIMITS[given["profile"]]
        limits = cell_timeout or limits[0], notebook_timeout or limits[1]
        env = _environment_of_kernel(network, workers, measure, real)
        numbers = {cell.get("id"): notebook.label(cell, n) for n, cell in enumerate(nb.cells, 1)}
        nb, session, reasons = _execute(nb, given, path.resolve().parent, env, limits, numbers,
                                        {"desc": path.stem, "leave": False} if bar else False)
        records, found = _findings(nb, given, measure, graded)
        if session.error is None:
            reasons = (reasons or _unfinished(nb, session, numbers)) + found
    result = {
        "notebook": path.stem, "profile": given["profile"], "source": given["source"], "seed": given["seed"],
        "seconds": round(time.monotonic() - started, 3),
        "status": "failed: " + "; ".join(reasons) if reasons else "ok", "claims": records,
        "environment": environment() | {"inputs": inputs(path, given, real)},
    }
    executed, texts = out_dir / f"{path.stem}.ipynb", {}
    if nb is not None:
        nb.metadata["papermill"] = dict(nb.metadata.get("papermill", {}), input_path=path.name, output_path=path.name)
        texts[executed] = nbformat.writes(nb)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_all(texts | {out_dir / f"{path.stem}.json": json.dumps(result, indent=1, ensure_ascii=False)})
    if nb is None:
        executed.unlink(missing_ok=True)  # of an earlier run: it does not belong to this result
    return result


def default_source(profile):
    """Which data a run uses that was not told: a smoke run needs no network."""
    return "embedded" if profile == "smoke" else "auto"


def _execute(nb, parameters, folder, env, limits, numbers, bar):
    """Run it in its folder. Returns (the notebook with outputs, the session, what went wrong while it ran)."""
    for attempt in (1, 2):
        with tempfile.TemporaryDirectory(prefix="csi-run-", ignore_cleanup_errors=True) as scratch:
            session = engine.Session(scratch, folder, env, *limits)
            try:
                papermill.execute_notebook(
                    nb, None, parameters, engine_name=engine.ENGINE, kernel_name="python3", language="python",
                    progress_bar=bar, session=session)
            except Exception as err:  # papermill, nbclient, zmq and traitlets each have their own
                session.error = err
            reasons = session.events()
        if session.ready or attempt == 2:
            break  # a kernel that died before its first reply is tried once more
    if session.error:
        reasons.append(_failure(session, numbers))
    return session.nb or nb, session, reasons


def _failure(session, numbers):
    where = numbers.get(session.cell.get("id"), "the injected parameters") if session.cell else "after the last cell"
    match error := session.error:
        case PapermillExecutionError(ename="SystemExit"):
            return f"{where} ended the notebook with sys.exit"
        case PapermillExecutionError():
            return f"{where} raised {error.ename}: {error.evalue}"
        case engine.TimeLimit():
            return f"{where}: {error}; the kernel was killed"
        case DeadKernelError():
            return f"{where}: the kernel died"
    if not session.ready:
        return f"the kernel did not start, twice: {error}"
    return f"{where}: {type(error).__name__}: {error}"


def _unfinished(nb, session, numbers):
    """Why this is not a notebook that ran from its first cell to its last, under the guard."""
    code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in code:
        where = numbers.get(cell.get("id"), "the injected parameters")
        errors = [out for out in cell.outputs if out.output_type == "error"]
        if any(error.ename == "SystemExit" for error in errors):
            return [f"{where} ended the notebook with sys.exit"]
        if cell.execution_count is None:
            return [f"{where} did not run"]
        if errors:
            return [f"{where} hid an error: {errors[0].ename}: {errors[0].evalue}"]
    report = session.report
    if not report or report["token"] != session.token:
        return ["the guard was not active at the end of the notebook"]
    if report["prefix"] != sys.prefix:
        return [f"the kernel is another Python ({report['prefix']})"]
    if report["cells"] != len(code):
        return [f"{report['cells']} of {len(code)} code cells ran in the kernel that reached the end"]
    if not report["ledgers"]:
        return ["no ledger was opened: the notebook claims nothing"]
    return [f"the ledger {name} was never closed" for name, closed in report["ledgers"] if not closed]


def _findings(nb, given, measure, graded):
    """The ledgers' records in the outputs, and what is wrong with them or with the exercises."""
    records, reasons = [], []
    for out in (out for cell in nb.cells for out in cell.get("outputs", [])):
        data = out.get("data", {})
        if ledger := data.get(claims.MIME):
            records += ledger["records"]
            reasons += [f"out of band: {problem}" for problem in ledger["problems"]]
            for key in ("profile", "seed"):
                if ledger[key] != given[key]:
                    reasons.append(f"the ledger {ledger['ledger']} was opened with {key} {ledger[key]!r}, "
                                   f"the run has {given[key]!r}")
            if not measure:
                # Ten full runs are asked of nobody, so a row of the full profile may have no band.
                judged = [r for r in ledger["records"] if r["band"] is not None or given["profile"] != "full"]
                reasons += [f"no band judged {r['id']}" for r in judged
                            if r["value"] is not None and not r["in_band"] and not ledger["problems"]]
        if graded and (exercise := data.get(exercises.MIME)) and exercise["status"] != "passed":
            reasons.append(f"exercise {exercise['name']}: {exercise['status']}")
    return records, reasons


def _environment_of_kernel(network, workers, measure, real):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CSI_GUARD_", "CSI_CLAIMS_"))}
    for key in ("CSI_DATA_MIRROR", "CSI_DATA_CACHE"):  # relative to here, not to the notebook
        if env.get(key) and "://" not in env[key] and Path(env[key]).expanduser().exists():
            env[key] = str(Path(env[key]).expanduser().resolve())
    if not network:
        env["CSI_GUARD_NETWORK"] = "block"
    if not network or real is not None:
        env["CSI_DATA_OFFLINE"] = "1"
    if measure:
        env["CSI_CLAIMS_MEASURE"] = "1"
    env["CSI_ROOT"] = str(ROOT)  # a notebook may lie anywhere
    # Small matrices on many threads only get in each other's way: a process computes on one, and a notebook that has
    # more to do starts processes (`csi_utils.training.repeat`).
    env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    if workers:
        env["CSI_WORKERS"] = str(workers)
    return env


def real_data(source, say=lambda text: None):
    """Decide once for a run which real sets there are, and say so: the names of those that are on this machine.

    What is to be had from the network is downloaded now, not inside a notebook's cell with its time limit. Failed
    questions take at most sources.PROBE_SECONDS together. Nothing is asked when source is "embedded". Raises
    sources.NoMirror for a mistaken CSI_DATA_MIRROR.
    """
    if source == "embedded":
        return []
    sources.check_mirror()
    found, missing = [], []
    for name in sources.registry():
        here, where = datasets.available(name)
        if here and "://" in where:
            try:
                datasets.fetch(name)
            except sources.DataUnavailable as err:
                here, where = False, err
        if here:
            found.append(name)
        else:
            missing.append(f"  not {name}: {where}")
    say("\n".join([f"real data: {', '.join(found) or 'none, embedded data are used'}", *missing]))
    return found


def run_many(notebooks, out_dir, profile="smoke", source=None, seed=0, parameters=None, *, jobs=1, resume=False,
             quiet=False, **options):
    """`run_notebook` for each, jobs at a time (they share the cores). Returns the results, in order.

    resume: keep results that say ok for the same notebook, csi_utils, data files and parameters. quiet: print
    nothing. options: passed on. Before anything runs or is written it raises Mistaken for a path that is no notebook,
    two of one name, parameters that a notebook does not have, and a folder that another run writes to; sources.NoMirror
    as `real_data`; OSError.
    """
    paths, out_dir = [Path(p) for p in notebooks], Path(out_dir)
    _asked_for(paths, {"profile": profile} | (parameters or {}))
    source = source or default_source(profile)
    if jobs > 1:
        options.setdefault("workers", max(1, (os.cpu_count() or 1) // jobs))
    options["bar"] = sys.stderr.isatty() and not quiet

    def say(text):
        if not quiet:
            with tqdm.external_write_mode():  # beside a progress bar
                print(text, flush=True)

    def one(path):
        key = _key(path, profile, source, seed, parameters, real)
        if resume and (old := finished(out_dir / f"{path.stem}.json", key)):
            return old, "kept"
        done = run_notebook(path, out_dir, profile, source, seed, parameters, real=real, **options)
        return done, f"{done['seconds']:.1f} s"

    results, real = {}, real_data(source, say)
    with _alone_in(out_dir):
        for path, (result, took) in in_parallel(one, paths, jobs):
            results[path] = result
            say(f"{path.stem}: {result['status']} ({took})")
    return [results[path] for path in paths]


def _asked_for(paths, parameters):
    """Refuse what nobody meant: a mistyped name of a notebook or of a parameter. Raises Mistaken."""
    for path in paths:
        if path.suffix != ".ipynb" or not path.is_file():
            raise Mistaken(f"notebooks: got {path}, expected the path of a notebook")
        if [other.stem for other in paths].count(path.stem) > 1:
            raise Mistaken(f"notebooks: {path.stem} is there twice, expected each name once: results are named so")
        try:
            defaults = notebook.check(notebook.read(path))
        except Refused:
            continue  # no mistake of whoever asked: it is this notebook's result
        try:
            notebook.fit(defaults, parameters)
        except Refused as err:
            raise Mistaken(f"{path.stem}: {err}") from None


@contextlib.contextmanager
def _alone_in(folder):
    """Nobody else's run writes to this folder meanwhile. Raises Mistaken where one does."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows keeps a file that is open
                    (folder / ".lock").unlink()
    except filelock.Timeout:
        raise Mistaken(f"out: another run is writing to {folder}; wait for it, or name another folder") from None


def notebooks():
    """The notebooks of the checkout, those for the hour first, in order."""
    folder = ROOT / "notebooks"
    return [*sorted(folder.glob("*.ipynb")), *sorted((folder / "deeper").glob("*.ipynb"))]


def in_parallel(function, tasks, jobs):
    """Yield (task, function(task)) as they end, jobs at a time. However it stops, no kernel is left running."""
    pool = ThreadPoolExecutor(max_workers=jobs)  # threads, for the work is done in the kernels
    try:
        waiting = {pool.submit(function, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        engine.stop_all()
        pool.shutdown()  # until a kernel that was just being started has stopped itself
        engine.ENDING.clear()
        raise
    pool.shutdown()


def _key(path, profile, source, seed, parameters, real):
    given = {"profile": profile, "source": source, "seed": seed} | (parameters or {})
    with contextlib.suppress(Refused, FileNotFoundError):
        return inputs(path, notebook.fit(notebook.check(notebook.read(path)), given), real)
