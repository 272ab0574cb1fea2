"""scripts/vm itself, as far as it goes without a virtual machine."""

import os
import subprocess
import sys

import pytest

from tests import CHECKOUT

VM = CHECKOUT / "scripts" / "vm"


def vm(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(VM), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_tells_the_exit_codes_and_examples():
    done = vm("--help")
    assert done.returncode == 0
    assert all(
        word in done.stdout for word in ("--idle", "124", "125", "examples:", "--kernel newest")
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["uname"],
        ["--kernel", "latest", "--", "true"],
        ["--kernel", "../../etc", "--", "true"],
        ["--bcc", "latest", "--", "true"],
        ["--bcc", "", "--", "true"],
        ["--cpus", "0", "--", "true"],
        ["--cpus", "many", "--", "true"],
        ["--memory", "1", "--", "true"],
        ["--timeout", "0", "--", "true"],
        ["--timeout", "nan", "--", "true"],
        ["--timeout", "inf", "--", "true"],
        ["--idle", "0", "--", "true"],
        ["--idle", "nan", "--", "true"],
        ["--share", "nfs", "--", "true"],
    ],
)
def test_wrong_usage_is_2_and_no_traceback(arguments):
    done = vm(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "vm" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_programs_are_one_line_with_the_packages(tmp_path):
    done = vm("--", "true", PATH=str(tmp_path))
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install busybox-static qemu-system-x86 util-linux" in done.stderr
