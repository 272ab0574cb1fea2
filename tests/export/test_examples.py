"""The examples of docs/export.md print what stands behind them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pidscope import cli
from tests import CHECKOUT
from tests.unit.history.kept import KEPT

_EXAMPLE = re.compile(r"```python\n(.*?)```\n```\n(.*?)```\n", re.DOTALL)
TEXT = (CHECKOUT / "docs" / "export.md").read_text()
EXAMPLES = _EXAMPLE.findall(TEXT)


def test_each_example_has_its_output() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") > 3


@pytest.mark.parametrize(("program", "printed"), EXAMPLES)
def test_an_example_prints_what_stands_behind_it(
    program: str, printed: str, tmp_path: Path
) -> None:
    for form in ("parquet", "ndjson"):
        out = str(tmp_path / f"lives.{form}")
        source = str(KEPT / "1" / "one.rec")
        assert cli.main(["export", f"--{form}", "-o", out, "--source", source]) == 0
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr
