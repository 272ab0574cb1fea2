"""What the commands that list from /proc have in common: their options and their documents."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pidscope import documents
from pidscope.procfs import ProcFs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what lsns has, and the mount to read."""
    parser.add_argument("-J", "--json", action="store_true", help="a JSON document")
    parser.add_argument("-n", "--noheadings", action="store_true", help="no headings")
    parser.add_argument("-o", "--output", metavar="COLUMNS", help="these columns, uncut")
    parser.add_argument(
        "--proc", type=Path, metavar="PATH", default=Path("/proc"), help="another mount of /proc"
    )


def print_document(
    name: str, items: Sequence[Mapping[str, Any]], proc: ProcFs, complete: bool
) -> None:
    """Print the document whose list ``name`` holds ``items``."""
    document = documents.envelope(
        name,
        items,
        source="proc",
        mode="proc",
        host=os.uname().nodename,
        boot_id=proc.boot_id(),
        complete=complete,
    )
    print(json.dumps(document))
