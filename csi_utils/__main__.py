"""Command line: python -m csi_utils run | report | bands | slides | book | start | assignments | grade | data."""

import argparse
import signal
import sys


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
    parser = argparse.ArgumentParser(prog="python -m csi_utils", description="Executable papers on WiFi CSI.")
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="execute notebooks, check every claim against its band")
    run.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="default: every notebook in notebooks/")
    run.add_argument("--out", metavar="DIR", help="default: build/runs/PROFILE")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--jobs", type=_jobs, default=1, help="notebooks at a time; above 1 each gets one thread")
    run.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                     help="another parameter of the notebooks")
    run.add_argument("--resume", action="store_true", help="keep good results of the same code, data and parameters")
    run.add_argument("--report", metavar="DIR", help="also write the report there")

    bands = commands.add_parser("bands", help="measure bands over seeds and write them into data/claims.toml")
    bands.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")
    bands.add_argument("--seeds", type=_seeds, default=list(range(10)), metavar="FIRST:END", help="default: 0:10")
    bands.add_argument("-k", type=float, default=4.0, help="half-width in standard deviations (default: 4)")
    for command in (run, bands):
        command.add_argument("--profile", choices=("smoke", "standard", "full"), default="standard")
        command.add_argument("--source", choices=("auto", "embedded", "real"),
                             help="default: auto; embedded in the smoke profile")

    report = commands.add_parser("report", help="write index.html for a folder of results")
    report.add_argument("results", metavar="DIR")
    report.add_argument("--out", metavar="DIR", help="default: build/report")

    slides = commands.add_parser("slides", help="make a deck of slides of each executed notebook")
    book = commands.add_parser("book", help="build the static site from executed notebooks")
    for command, made in ((slides, "build/slides"), (book, "build/book")):
        command.add_argument("results", metavar="DIR", nargs="?",
                             help="executed notebooks; default: build/runs/standard, else full, else smoke")
        command.add_argument("--out", metavar="DIR", help=f"default: {made}")
    commands.add_parser("start", help="write notebooks/START_HERE.md, the table of contents that make lab opens")

    handed = commands.add_parser("assignments", help="make the nbgrader course: students' copies of the notebooks")
    handed.add_argument("--out", metavar="DIR", help="default: build/course")

    grade = commands.add_parser("grade", help="grade a folder of submissions: grades.csv and feedback pages")
    grade.add_argument("submissions", metavar="DIR")
    grade.add_argument("--course", metavar="DIR", help="default: build/course")
    grade.add_argument("--jobs", type=_jobs, default=1, help="submissions at a time")
    grade.add_argument("--sandbox", choices=("auto", "require", "none"), default="auto",
                       help="auto: bubblewrap where it works, else a warning; require: refuse to grade without")

    data = commands.add_parser("data", help="list, fetch and verify data sets", add_help=False)
    data.add_argument("rest", nargs=argparse.REMAINDER)
    return parser


def main(arguments=None):
    """Returns the exit status. Each command imports only what it needs."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["data"]:
        from . import datasets
        return datasets.command(arguments[1:])
    args = _parser().parse_args(arguments)
    if args.command == "run":
        from . import run as module
    elif args.command == "bands":
        from . import bands as module
    elif args.command == "slides":
        from .teaching import slides as module
    elif args.command == "book":
        from .teaching import book as module
    elif args.command == "start":
        from .teaching import contents as module
    elif args.command == "assignments":
        from .teaching import assignments as module
    elif args.command == "grade":
        from .teaching import grading as module
    else:
        from . import report as module
    # A scheduler's stop must take the kernels and their children along, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return module.command(args)
    except KeyboardInterrupt:
        print("stopped; no kernel is left running", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
