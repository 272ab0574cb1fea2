"""``python -m pidscope``, and what the installed command runs."""

import signal
import sys


def run() -> int:
    """Run the command line; Ctrl-C ends it in silence even while it is still being loaded."""
    before = signal.getsignal(signal.SIGINT)
    silent = before if before is signal.SIG_IGN else signal.SIG_DFL
    signal.signal(signal.SIGINT, silent)
    try:
        from pidscope.cli import main

        return main(interrupt=before)
    finally:
        signal.signal(signal.SIGINT, silent)  # the interpreter has yet to end


if __name__ == "__main__":
    sys.exit(run())
