"""The command `csi-papers import`: capture files of a WiFi receiver -> a person's own .npz."""

import sys

from csi_utils.files import importing


def command(args):
    """Returns the exit status: 0 done, 1 refused."""
    labels = {}
    for text in args.label:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value:
            print(f"label: got {text!r}, expected name=value", file=sys.stderr)
            return 1
        labels[name] = value
    try:
        importing.import_files(args.files, args.to, labels, args.labels, args.field, args.rate, args.keep_null,
                               args.replace)
    except ValueError as problem:
        print(f"nothing was written: {problem}", file=sys.stderr)
        return 1
    return 0
