"""The command csi-papers, also python -m csi_papers. A longer command is the function `command` of its own module."""

import argparse
import importlib
import signal
import sys
from pathlib import Path

# command: its module, and what it does
ELSEWHERE = {
    "import": ("run.bring", "Read capture files of a WiFi receiver into a .npz of your own, and draw what was read"),
    "slides": ("pages.slides", "Make a deck of slides of each executed notebook"),
    "book": ("pages.book", "Build the static site from executed notebooks"),
    "start": ("pages.contents", "Write notebooks/START_HERE.md, the table of contents that make lab opens"),
    "learn": ("course.learn", "Write copies of the notebooks to learn with, without solutions; what you changed stays"),
    "docs": ("pages.docs",
             "Write the tables of README and docs/ that follow from cards, claims, recorded seeds and terms.toml"),
    "assignments": ("course.assignments", "Make the nbgrader course: students' copies of the notebooks"),
    "grade": ("course.grading", "Grade a folder of submissions: grades.csv and feedback pages"),
}


def run(args):
    """Execute notebooks; exit status 0 only when all ran and kept their bands."""
    from csi_papers.run import runner
    from csi_utils import ROOT, verdicts

    notebooks = [Path(p) for p in args.notebooks] or runner.notebooks()
    if not notebooks:
        print("no notebooks: notebooks/ has none, and none was named", file=sys.stderr)
        return 2
    out = Path(args.out or ROOT / "build" / "runs" / args.profile)
    # A file is named from here, but the notebook runs in its own folder.
    given = {name: str(Path(value).resolve()) if value.endswith(".npz") and Path(value).is_file() else value
             for name, value in args.parameters}
    try:
        results = runner.run_many(notebooks, out, args.profile, args.source, args.seed, given, jobs=args.jobs,
                                  resume=args.resume)
    except runner.Mistaken as err:
        print(f"nothing was run: {err}", file=sys.stderr)
        return 2
    records = [record for result in results for record in result["claims"]]
    print(f"\n{verdicts.text_table(records)}\n")
    if args.report:
        from csi_papers.pages.report import write
        print(f"report: {write(out, args.report)}")
    failed = [result for result in results if result["status"] != "ok"]
    for result in failed:
        print(f"FAILED {result['notebook']}: {result['status'].removeprefix('failed: ')}")
    print(f"{len(results) - len(failed)} of {len(results)} notebooks ran and kept their bands "
          f"(profile {args.profile}, {sum(result['seconds'] for result in results):.0f} s)")
    return int(bool(failed))


def bands(args):
    """Measure bands over seeds, into data/bands."""
    from csi_papers.run import bands as module

    try:
        found = module.measure(args.notebooks, args.profile, args.seeds, args.source)
    except ValueError as err:  # BandError, ClaimsError
        print(f"no bands written: {err}", file=sys.stderr)
        return 1
    for (notebook, mid), band in found.items():
        power = "" if band["power"] else " (keeps no control out: reported, not a check)"
        print(f"{notebook} {mid}: {band['low']:g} to {band['high']:g}{power}")


def record(args):
    """Keep a folder of results, of the profile full as a rule, in data/record."""
    from csi_papers.run import record as module

    try:
        print("\n".join(f"record: {path}" for path in module.keep(args.results)))
    except ValueError as err:
        print(err, file=sys.stderr)
        return 1


def report(args):
    """Write index.html for a folder of results."""
    from csi_papers.pages.report import write

    print(f"report: {write(args.results, args.out)}")


def new(args):
    """Make the seven files of a new paper from the template."""
    from csi_papers.run import new as module

    try:
        made = module.stamp(args.name)
    except ValueError as err:
        print(err, file=sys.stderr)
        return 2
    print("\n".join(made))
    print("It runs and is green as it is. docs/add-a-paper.md says in which order to change it.")


def data(args):
    """List, fetch and verify data sets."""
    from csi_papers.run.data import command
    return command(args.action, args.names)


def _seeds(text):
    first, _, last = text.partition(":")
    try:
        seeds = list(range(int(first), int(last))) if last else [int(s) for s in first.split(",")]
    except ValueError:
        seeds = []
    if not seeds:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected FIRST:END (END not included) or a,b,c")
    return seeds


def _jobs(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number above 0")
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(prog="csi-papers", description="Executable papers on WiFi sensing.")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name):
        function = globals().get(name)
        says = function.__doc__.split("\n")[0].rstrip(".") if function else ELSEWHERE[name][1]
        command = commands.add_parser(name, help=says)
        command.set_defaults(function=function)
        return command

    for command in (running := add("run")), (banding := add("bands")):
        command.add_argument("--profile", choices=("smoke", "standard", "full"), default="standard")
        command.add_argument("--source", choices=("auto", "embedded", "real"),
                             help="default: auto; embedded in the smoke profile")
    running.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: every notebook in notebooks/")
    running.add_argument("--out", metavar="DIR", help="default: build/runs/PROFILE")
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--jobs", type=_jobs, default=1, help="notebooks at a time; they share the cores")
    running.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                         help="another parameter of the notebooks")
    running.add_argument("--resume", action="store_true", help="keep good results of the same code, data, parameters")
    running.add_argument("--report", metavar="DIR", help="also write the report there")
    banding.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")
    banding.add_argument("--seeds", type=_seeds, default=list(range(10)), metavar="FIRST:END", help="default: 0:10")

    add("record").add_argument("results", metavar="DIR")
    pages = add("report")
    pages.add_argument("results", metavar="DIR")
    pages.add_argument("--out", metavar="DIR", help="default: build/report")
    for name in ("slides", "book"):
        pages = add(name)
        pages.add_argument("results", metavar="DIR", nargs="?",
                           help="executed notebooks; default: build/runs/standard, else full, else smoke")
        pages.add_argument("--out", metavar="DIR", help=f"default: build/{name}")
    add("start")
    add("docs")
    add("new").add_argument("name", metavar="NN_short_name")

    add("learn").add_argument("--out", metavar="DIR", help="default: build/learn")
    add("assignments").add_argument("--out", metavar="DIR", help="default: build/course")
    grading = add("grade")
    grading.add_argument("submissions", metavar="DIR")
    grading.add_argument("--course", metavar="DIR", help="default: build/course")
    grading.add_argument("--jobs", type=_jobs, default=1, help="submissions at a time")
    grading.add_argument("--cpu", type=_jobs, default=30, metavar="SECONDS",
                         help="that a student's cell, or all calls of a check, may compute (default: 30)")
    grading.add_argument("--sandbox", choices=("require", "none"), default="require",
                         help="require: refuse to grade without bubblewrap; none: submissions run as you")

    bring = add("import")
    bring.add_argument("files", nargs="+", metavar="FILE", help="a capture, or a folder of captures")
    bring.add_argument("--to", required=True, metavar="MY.npz")
    bring.add_argument("--label", action="append", default=[], metavar="NAME=VALUE",
                       help="of all files: session, location, activity, xy, point or link")
    bring.add_argument("--labels", metavar="TABLE.csv",
                       help="a table of files and their labels; where there is none, one is written to fill in")
    bring.add_argument("--field", help="training field of ESP32 logs, as LLTF; default: the one with most subcarriers")
    bring.add_argument("--rate", type=float, metavar="HZ", help="an even rate: the packet nearest to each instant")
    bring.add_argument("--keep-null", action="store_true", help="keep subcarriers that carry nothing")
    bring.add_argument("--replace", action="store_true", help="write over a file that is there")

    sets = add("data")
    sets.add_argument("action", choices=("list", "fetch", "verify"))
    sets.add_argument("names", nargs="*", metavar="NAME", help="default: all real sets")
    return parser


def main(arguments=None):
    """Returns the exit status. Each command imports only what it needs."""
    args = _parser().parse_args(arguments)
    # A scheduler's stop must take the kernels and their children along, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        function = args.function or importlib.import_module(f"csi_papers.{ELSEWHERE[args.command][0]}").command
        return function(args) or 0
    except KeyboardInterrupt:
        print("stopped; no kernel is left running", file=sys.stderr)
        return 130
    except (OSError, ModuleNotFoundError) as err:
        from csi_utils.files.sources import NoMirror
        if file := getattr(err, "filename", None):  # the system's own words
            why = "a file, expected a folder" if isinstance(err, FileExistsError) else err.strerror
            err = f"{file}: {why}"
        print(err, file=sys.stderr)
        return 2 if isinstance(err, NoMirror) else 1


if __name__ == "__main__":
    sys.exit(main())
