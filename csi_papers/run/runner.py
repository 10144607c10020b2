"""The strict runner: execute notebooks with papermill, and refuse what papermill lets pass in silence.

    csi-papers run --profile standard

writes the executed notebook and a JSON of its claims for each. tests/bad_notebooks/ shows what is refused.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from csi_utils import ROOT, claims, exercises

from . import notebook as checks
from .notebook import Refused
from .provenance import environment, finished, inputs, write

# s: a cell, a notebook. They stop what hangs, so ten times the usual time must fit in, on a busy machine too.
LIMITS = {"smoke": (600, 1200), "standard": (1800, 3600), "full": (24 * 3600, 48 * 3600)}
EVENTS = {
    "network": "network attempt in a run without network", "thread": "a thread died", "task": "a task died",
    "child": "a child process failed", "shell": "a shell command was tried",
}


def run_notebook(path, out_dir, profile="smoke", source=None, seed=0, parameters=None, *, cell_timeout=None,
                 notebook_timeout=None, network=None, workers=None, measure=False, graded=True, real=None,
                 on_cell=None):
    """Execute one notebook; write out_dir/STEM.ipynb and out_dir/STEM.json. Returns what the JSON holds.

    source: embedded in the smoke profile, else auto. parameters: more papermill parameters, by name.
    cell_timeout, notebook_timeout: seconds (default: by profile). network: may it connect (default: not in a
    smoke run, nor with embedded data)? workers: processes that it may start (default: one a core). measure: collect
    values, do not judge bands. graded: fail when an exercise check did not pass. real: from `real_data`.

    A notebook that fails does not raise: "status" is then "failed: " and why. Raises OSError when out_dir
    cannot be written.
    """
    path, out_dir = Path(path), Path(out_dir)
    source = source or ("embedded" if profile == "smoke" else "auto")
    out_dir.mkdir(parents=True, exist_ok=True)
    outputs = out_dir / f"{path.stem}.ipynb", out_dir / f"{path.stem}.json"
    for stale in outputs:
        stale.unlink(missing_ok=True)
    given = {"profile": profile, "source": source, "seed": seed} | (parameters or {})
    if network is None:
        network = given["profile"] != "smoke" and given["source"] != "embedded"
    started, reasons, records, nb = time.monotonic(), [], [], None
    limits = LIMITS.get(given["profile"], LIMITS["full"])
    try:
        nb = checks.read(path)
        given = checks.fit(checks.check(nb), given)
        env = _environment_of_kernel(network, workers, measure, real)
        numbers = {cell.get("id"): checks.label(cell, n) for n, cell in enumerate(nb.cells, 1)}
        for attempt in (1, 2):
            with tempfile.TemporaryDirectory(prefix="csi-run-", ignore_cleanup_errors=True) as folder:
                from .engine import Session
                session = Session(folder, path.resolve().parent, env, cell_timeout or limits[0],
                                  notebook_timeout or limits[1], on_cell)
                error = _execute(nb, session, given)
                events = session.events()
            if session.ready or attempt == 2:
                break  # a kernel that died before its first reply is tried once more
        nb = session.nb or nb
        reasons = [f"{EVENTS[kind]}: {message}" for kind, message in events]
        reasons += [_failure(error, session, numbers)] if error else []
        records, found = _findings(nb, given, measure, graded)
        if not reasons:  # else it did not end, and the reason is known
            reasons = _unfinished(nb, session, numbers)
        reasons += [reason for reason in found if not error]
    except (Refused, FileNotFoundError) as err:
        reasons = [f"refused: {err}"]
    result = {
        "notebook": path.stem, "profile": given["profile"], "source": given["source"], "seed": given["seed"],
        "seconds": round(time.monotonic() - started, 3),
        "status": "failed: " + "; ".join(reasons) if reasons else "ok", "claims": records,
        "environment": environment() | {"inputs": inputs(path, given, real)},
    }
    if nb is not None:
        import nbformat
        nb.metadata["papermill"] = dict(nb.metadata.get("papermill", {}), input_path=path.name, output_path=path.name)
        write(outputs[0], nbformat.writes(nb))
    write(outputs[1], json.dumps(result, indent=1, ensure_ascii=False))
    return result


def _execute(nb, session, parameters):
    """Run it; returns the exception that ended it, or None."""
    import logging

    import papermill

    from .engine import ENGINE
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would say, this runner says itself
    try:
        papermill.execute_notebook(nb, None, parameters, engine_name=ENGINE, kernel_name="python3",
                                   language="python", progress_bar=False, session=session)
    except Exception as err:  # papermill, nbclient, zmq and traitlets each have their own
        return err
    return None


def _failure(error, session, numbers):
    where = numbers.get(session.cell.get("id"), "the injected parameters") if session.cell else "after the last cell"
    name = type(error).__name__
    if name == "PapermillExecutionError":
        if error.ename == "SystemExit":
            return f"{where} ended the notebook with sys.exit"
        return f"{where} raised {error.ename}: {error.evalue}"
    if name == "TimeLimit":
        return f"{where}: {error}; the kernel was killed"
    if name == "DeadKernelError":
        return f"{where}: the kernel died"
    if not session.ready:
        return f"the kernel did not start, twice: {error}"
    return f"{where}: {name}: {error}"


def _unfinished(nb, session, numbers):
    """Why this is not a notebook that ran from its first cell to its last, under the guard."""
    code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in code:
        where = numbers.get(cell.get("id"), "the injected parameters")
        if any(out.output_type == "error" and out.ename == "SystemExit" for out in cell.outputs):
            return [f"{where} ended the notebook with sys.exit"]
        if cell.execution_count is None:
            return [f"{where} did not run"]
        for out in cell.outputs:
            if out.output_type == "error":
                return [f"{where} hid an error: {out.ename}: {out.evalue}"]
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
                reasons += [f"no band judged {r['id']}" for r in ledger["records"]
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
    if not network or (real and real["offline"]):
        env["CSI_DATA_OFFLINE"] = "1"
    if measure:
        env["CSI_CLAIMS_MEASURE"] = "1"
    # Small matrices on many threads only get in each other's way: a process computes on one, and a notebook that has
    # more to do starts processes (`csi_utils.training.repeat`).
    env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    if workers:
        env["CSI_WORKERS"] = str(workers)
    return env


def real_data(source):
    """Decide once for a run which real sets there are: {"sets": {name: where or why not}, "offline": bool}.

    Takes at most 5 s, whatever the network does. Nothing is asked when source is embedded.
    """
    if source == "embedded":
        return {"sets": {}, "found": [], "offline": True}
    from csi_utils import datasets
    from csi_utils.files import sources
    answers, names = {}, list(sources.registry())

    def ask():
        for name in names:
            answers[name] = datasets.available(name)

    asking = threading.Thread(target=ask, daemon=True)  # no socket timeout covers a silent name server
    asking.start()
    asking.join(5)
    answers = {name: answers.get(name, (False, "no answer within 5 s")) for name in names}
    found = [name for name, (here, _) in answers.items() if here]
    remote = any("://" in answers[name][1] for name in found)
    return {"sets": {name: text for name, (_, text) in answers.items()}, "found": found,
            "offline": len(found) < len(names) and not remote}


def run_many(notebooks, out_dir, profile="smoke", source=None, seed=0, parameters=None, *, jobs=1, resume=False,
             quiet=False, **options):
    """`run_notebook` for each, jobs at a time (they share the cores). Returns the results, in order.

    resume: keep results that say ok for the same notebook, csi_utils, data files and parameters. quiet: print
    nothing. options: passed on. Raises ValueError for two notebooks of one name.
    """
    paths = [Path(p) for p in notebooks]
    if len({p.stem for p in paths}) < len(paths):
        raise ValueError(f"notebooks: two have the same name among {', '.join(p.name for p in paths)}")
    source = source or ("embedded" if profile == "smoke" else "auto")
    real = options.pop("real", None) or real_data(source)
    say = (lambda *_: None) if quiet else functools.partial(print, flush=True)
    if source != "embedded":
        say(f"real data: {', '.join(real['found']) or 'none, embedded data are used'}")
        for name, text in real["sets"].items():
            if name not in real["found"]:
                say(f"  not {name}: {text}")
        _fetch(real, say)
    if jobs > 1:
        options.setdefault("workers", max(1, (os.cpu_count() or 1) // jobs))
    bar = _bar(paths) if sys.stderr.isatty() and not quiet else None

    def one(path):
        key = _key(path, profile, source, seed, parameters, real)
        if resume and (old := finished(Path(out_dir) / f"{path.stem}.json", key)):
            return old, "kept"
        done = run_notebook(path, out_dir, profile, source, seed, parameters, real=real,
                            on_cell=bar.update if bar else None, **options)
        return done, f"{done['seconds']:.1f} s"

    results = {}
    with bar or contextlib.nullcontext():
        for path, (result, took) in in_parallel(one, paths, jobs):
            results[path] = result
            (bar.write if bar else say)(f"{path.stem}: {result['status']} ({took})")
    return [results[path] for path in paths]


def _fetch(real, say):
    """Download what is to be had from the network now, not inside a notebook's cell with its time limit."""
    from csi_utils import datasets
    from csi_utils.files import sources
    for name in [name for name in real["found"] if "://" in real["sets"][name]]:
        try:
            datasets.fetch(name)
        except sources.DataUnavailable as err:
            say(f"  not {name}: {err}")
            real["found"].remove(name)
            real["offline"] = True


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
        from .engine import LIVE, stop
        pool.shutdown(wait=False, cancel_futures=True)
        stop(LIVE)
        raise
    pool.shutdown()


def _bar(paths):
    from tqdm import tqdm
    cells = 0
    for path in paths:
        with contextlib.suppress(Refused, FileNotFoundError):
            cells += len(checks.read(path).cells) + 1  # papermill injects one
    return tqdm(total=cells, unit="cell", desc="notebooks")


def _key(path, profile, source, seed, parameters, real):
    given = {"profile": profile, "source": source, "seed": seed} | (parameters or {})
    with contextlib.suppress(Refused, FileNotFoundError):
        return inputs(path, checks.fit(checks.check(checks.read(path)), given), real)
