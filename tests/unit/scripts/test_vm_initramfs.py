"""What the guest is given to do: byte for byte what the caller asked for."""

import os
import subprocess
import sys

from pidscope_dev.vm import initramfs


def job(command, directory="/", environment=None, keep=("/",)):
    return initramfs.Job(
        share="virtiofs",
        token="t" * 32,
        command=command,
        directory=directory,
        environment=environment or {"PATH": os.defpath},
        keep=list(keep),
        modules_directory="/modules",
        layer="/a layer",
        init="/an init",
    )


def run(script):
    # Without the limit of locked memory, which only root may lift.
    body = script.replace("ulimit -l unlimited\n", "", 1)
    assert body != script
    return subprocess.run(["/bin/sh"], input=os.fsencode(body), capture_output=True, check=False)


def test_arguments_and_directory_arrive_unchanged(tmp_path):
    place = tmp_path / "a 'b' $c"
    place.mkdir()
    words = ["a b", "", "it's", '$x `y` "z" \\n', "two\nlines", "-n", "\udcff", "é"]
    show = "import os,sys; print([os.fsencode(w) for w in sys.argv[1:]], ascii(os.getcwd()))"
    done = run(job([sys.executable, "-c", show, *words], str(place)).script())
    assert done.stdout.decode() == f"{[os.fsencode(w) for w in words]} {str(place)!a}\n"


def test_the_environment_is_set():
    environment = {"PATH": os.defpath, "NAME": "a 'b'"}
    done = run(job(["printenv", "NAME"], environment=environment).script())
    assert done.stdout == b"a 'b'\n"


def test_a_missing_directory_is_told():
    done = run(job(["true"], "/nonexistent").script())
    assert done.returncode == 126
    assert b"/nonexistent" in done.stderr


def test_settings_are_read_by_a_shell():
    settings = job(["true"], keep=["/a b", "/c'd"]).settings()
    show = 'printf "%s|" "$share" "$token" "$keep" "$modules_directory" "$layer" "$init"'
    done = subprocess.run(
        ["/bin/sh"], input=(settings + show).encode(), capture_output=True, check=True
    )
    assert done.stdout.decode() == f"virtiofs|{'t' * 32}|/a b\n/c'd|/modules|/a layer|/an init|"


def test_the_fixed_part_is_built_once(tmp_path):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"static")
    (tmp_path / "modules").mkdir()
    first = initramfs.base(busybox, tmp_path / "modules", "9p", tmp_path / "cache")
    assert initramfs.base(busybox, tmp_path / "modules", "9p", tmp_path / "cache") == first
    assert len(list((tmp_path / "cache").iterdir())) == 1
    busybox.write_bytes(b"another")
    assert initramfs.base(busybox, tmp_path / "modules", "9p", tmp_path / "cache") != first


def test_the_guests_scripts_are_shell():
    for name in initramfs.SCRIPTS:
        subprocess.run(["/bin/sh", "-n", str(initramfs.HERE / name)], check=True)
