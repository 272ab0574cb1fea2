"""``python -m pidscope``, and what the installed command runs."""

import signal
import sys


def run() -> int:
    """Run the command line; Ctrl-C ends it in silence even while it is still being loaded."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pidscope.cli import main

    signal.signal(signal.SIGINT, before)
    return main()


if __name__ == "__main__":
    sys.exit(run())
