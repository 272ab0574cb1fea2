"""``lookup -q 17 --in X`` and the rest: whose number 17 it is, where containers really live.

The hosts are directories that look like a /proc; each case names where it was reported or observed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from pidscope.commands import lookup, ns, ps
from pidscope.containers import own_rules
from pidscope.errors import AmbiguousError, HostError, NotFound, NotKnown, PidscopeError, UsageError
from tests.unit.commands.asked import Answer, run, valid
from tests.unit.commands.fake_host import HOST, UID, FakeHost, fake_host

ONE, TWO, THREE = 71, 72, 73  # inums
A, B, C = (digit * 64 for digit in "abc")
USER = "/user.slice/user-1001.slice/user@1001.service"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host to which a test adds its containers; a process is older the lower its number is."""
    return fake_host(tmp_path, monkeypatch)


class Asker:
    def __init__(self, host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
        self._host, self._capsys = host, capsys

    def quiet(self, *arguments: str) -> str:
        """What ``lookup -q`` prints, with what is said on standard error, in words."""
        self._capsys.readouterr()
        assert run(lookup, "-q", *arguments, "--proc", str(self._host.root)) == 0
        out, err = self._capsys.readouterr()
        return " ".join((out + err).replace("pidscope: ", "").split())

    def refusal(self, *arguments: str) -> PidscopeError:
        with pytest.raises(PidscopeError) as caught:
            run(lookup, *arguments, "--proc", str(self._host.root))
        return caught.value

    def lines(self, command: Any, *arguments: str) -> list[str]:
        self._capsys.readouterr()
        assert run(command, *arguments, "--proc", str(self._host.root)) == 0
        out: str = self._capsys.readouterr().out
        return out.splitlines()

    def document_of(self, command: Any, *arguments: str) -> Answer:
        return valid("\n".join(self.lines(command, "-J", *arguments)))

    def tree(self) -> dict[int, str | None]:
        """The name of each namespace's own container."""
        self.document = self.document_of(ns)
        owners = {it["ns"]: it["container"] for it in self.document["namespaces"]}
        return {inum: it and (it["name"] or it["unit"] or it["id"]) for inum, it in owners.items()}


@pytest.fixture
def ask(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker(host, capsys)


# --- a monitor is not the container ----------------------------------------------------------


def test_nspawns_supervisor_is_in_no_container(host: FakeHost, ask: Asker) -> None:
    """systemd-nspawn 252 on a hybrid host: the pids line of both is the unit."""
    unit = "/machine.slice/systemd-nspawn@c1.service"
    for number, inum, below, inner in (
        (17, HOST, None, ()), (700, HOST, "supervisor", ()), (701, ONE, "payload", (1,)),
        (702, ONE, "payload", (17,)),
    ):  # fmt: skip
        text = f"9:name=systemd:{unit}/{below}\n8:pids:{unit}\n0::{unit}/{below}\n"
        host.add(number, inum, text if below else "/system.slice/cron.service", *inner)
    assert ask.quiet("17", "--in", "c1") == "702"
    assert ask.tree() == {HOST: None, ONE: "c1"}


def test_libvirts_monitor_is_older_and_in_the_same_scope(host: FakeHost, ask: Asker) -> None:
    """libvirt-lxc: 1231 is libvirt_lxc."""
    scope = r"/machine.slice/machine-lxc\x2d1231\x2dvmc.scope"
    host.add(17, HOST, "/system.slice/cron.service")
    host.add(1231, HOST, scope)
    host.add(1240, ONE, scope, 1, ppid=1231)
    assert ask.quiet("1", "--in", "vmc") == "1240"
    host.add(1300, ONE, scope, 17)
    assert ask.quiet("17", "--in", "vmc") == "1300"
    assert ask.tree() == {HOST: None, ONE: "vmc"}


def test_a_container_without_a_namespace_has_no_numbers(host: FakeHost, ask: Asker) -> None:
    """``docker run --pid=host``: 17 is the host's, and not what was meant."""
    host.add(17, HOST, "/system.slice/cron.service")
    host.add(40, HOST, f"/docker/{A}")
    for arguments in (("17", "--in", A), ("40", "--to", f"id:{A}")):
        refused = ask.refusal("-q", *arguments)
        assert (type(refused), refused.exit_code) == (UsageError, 2)
        assert str(refused) == f"docker container {A[:12]} has no PID namespace of its own"
        assert f"ns:{HOST}" in refused.hint
    assert ask.quiet("17", "--in", "host") == ask.quiet("17", "--in", f"ns:{HOST}") == "17"


def test_a_container_of_which_some_are_on_the_host_is_not_the_hosts(
    host: FakeHost, ask: Asker
) -> None:
    host.add(17, HOST, "/system.slice/cron.service")
    host.add(40, HOST, f"/docker/{A}")
    host.add(41, ONE, f"/docker/{A}", 1, ppid=40)
    host.add(42, ONE, f"/docker/{A}", 17, ppid=41)
    refused = ask.refusal("-q", "17", "--in", A)
    assert (type(refused), refused.exit_code) == (AmbiguousError, 2)
    assert str(refused) == f"which namespace is that of docker container {A[:12]} is not certain"
    assert refused.hint.splitlines()[1:] == [
        f"ns:{HOST}  docker container {A[:12]}: 1 of 3 processes, its oldest process 40",
        f"ns:{ONE}  docker container {A[:12]}: 2 of 3 processes, number 1 is 41",
    ]
    assert ask.tree() == {HOST: None, ONE: None}
    assert not ask.document["containers_known"]


def test_a_container_of_which_only_those_inside_are_left(host: FakeHost, ask: Asker) -> None:
    host.add(41, ONE, f"/docker/{A}/docker/{B}", 1)
    refused = ask.refusal("-q", "1", "--in", A)
    assert (type(refused), refused.exit_code) == (NotKnown, 4)
    assert ask.quiet("1", "--in", B) == "41"


# --- the sandbox -----------------------------------------------------------------------------


def pod(host: FakeHost, **containers: str) -> None:
    """A pod of which each container has a namespace of its own, and so has pause."""
    below = f"/kubepods/burstable/pod{UID}"
    host.add(20, ONE, f"{below}/{A}", 1)
    host.link_log("db-0", "", A)
    for at, (name, number) in enumerate(containers.items()):
        host.link_log("db-0", name, number)
        host.add(30 + 10 * at, TWO + at, f"{below}/{number}", 1)
        host.add(37 + 10 * at, TWO + at, f"{below}/{number}", 17)


def test_a_pod_with_one_container_is_that(host: FakeHost, ask: Asker) -> None:
    """Any pod of Kubernetes 1.28 with containerd 1.6: pause has a PID namespace of its own."""
    pod(host, db=B)
    for word in ("pod:default/db-0", "pod:db-0", "db-0", "default/db-0", f"pod:{UID}"):
        assert ask.quiet("17", "--in", word) == "37", word
    assert ask.quiet("1", "--in", f"id:{A}") == "20"  # the sandbox, as it was asked for


def test_a_pod_with_two_containers_lists_both_with_their_ids(host: FakeHost, ask: Asker) -> None:
    pod(host, db=B, backup=C)
    refused = ask.refusal("-q", "17", "--in", "pod:default/db-0")
    assert isinstance(refused, AmbiguousError)
    assert refused.candidates == (
        f"ns:{TWO}  pod default/db-0/db  id:{B[:12]}",
        f"ns:{THREE}  pod default/db-0/backup  id:{C[:12]}",
    )
    assert ask.quiet("17", "--in", "pod:default/db-0/backup") == "47"


def test_a_pod_that_shares_its_namespace_is_its_sandboxs(host: FakeHost, ask: Asker) -> None:
    """shareProcessNamespace: pause is number 1."""
    below = f"/kubepods/burstable/pod{UID}"
    host.link_log("db-0", "db", B)
    host.add(20, ONE, f"{below}/{A}", 1)
    host.add(30, ONE, f"{below}/{B}", 17)
    assert ask.quiet("1", "--in", "db-0") == "20"
    assert ask.quiet("17", "--in", "pod:default/db-0/db") == "30"


def test_two_that_no_log_names_are_told_apart(host: FakeHost, ask: Asker) -> None:
    """Both print as ``default/db-0``; neither is known to be the sandbox."""
    host.link_log("db-0", "", A)
    for number, inum, name in ((20, ONE, A), (30, TWO, B)):
        host.add(number, inum, f"/kubepods/burstable/pod{UID}/{name}", 1)
    refused = ask.refusal("-q", "1", "--in", "db-0")
    assert isinstance(refused, AmbiguousError)
    assert refused.candidates == (
        f"ns:{ONE}  pod default/db-0  id:{A[:12]}",
        f"ns:{TWO}  pod default/db-0  id:{B[:12]}",
    )


# --- names can be taken ----------------------------------------------------------------------


def test_a_users_cgroup_takes_no_name_and_makes_none_ambiguous(host: FakeHost, ask: Asker) -> None:
    """A delegated cgroup of systemd's user manager may have any name."""
    host.add(30, ONE, f"/system.slice/docker-{A}.scope", 1)
    host.add(37, ONE, f"/system.slice/docker-{A}.scope", 17)
    host.add(66, TWO, f"{USER}/docker-{A}.scope", 1)
    host.add(67, TWO, f"{USER}/docker-{A}.scope", 17)
    for word in (A, f"id:{A[:6]}", f"docker://{A}"):
        assert ask.quiet("17", "--in", word) == (
            f"37 this is docker container {A[:12]}, not user 1001: docker container {A[:12]}"
        )
    assert ask.tree() == {HOST: None, ONE: A, TWO: A}
    users = [it["container"] and it["container"]["uid"] for it in ask.document["namespaces"]]
    assert users == [None, None, 1001]


def test_what_only_a_user_has_is_that_users(host: FakeHost, ask: Asker) -> None:
    """Rootless Podman 4.3."""
    host.add(66, TWO, f"{USER}/user.slice/libpod-{B}.scope/container", 1)
    assert ask.quiet("1", "--in", B) == "66"


# --- unknown runtimes ------------------------------------------------------------------------


def test_a_number_1_in_a_cgroup_that_no_rule_knows_is_in_a_container(
    host: FakeHost, ask: Asker
) -> None:
    host.add(30, ONE, "/newruntime/box-7", 1)
    host.add(37, ONE, "/newruntime/box-7/app", 17)
    host.add(39, ONE, "/user.slice/user-0.slice/session-3.scope", 18)  # nsenter
    for word in ("box-7", "name:box-7", "/newruntime/box-7", "id:/newruntime/box-7"):
        assert ask.quiet("17", "18", "--in", word) == "37 39", word
    assert ask.tree() == {HOST: None, ONE: "box-7"}
    assert ask.document["containers_known"]
    [_, it] = ask.document["namespaces"]
    assert (it["container"]["runtime"], it["container"]["id"]) == ("?", f"/newruntime/box-7:{ONE}")


@pytest.mark.parametrize(
    ("euid", "start", "runtime", "name"),
    [
        (0, 30, "runc", "jail"),
        (0, 31, "?", "box-7"),  # another process has the number by now
        (1000, 30, "?", "box-7"),  # the file may be read, and is not asked for
    ],
)
def test_runcs_state_names_a_container_whose_cgroup_no_rule_knows(
    euid: int, start: int, runtime: str, name: str, host: FakeHost, ask: Asker, monkeypatch: Any
) -> None:
    """``runc run jail`` without systemd, runc 1.1: any cgroup (cgroupsPath), and a state file."""
    monkeypatch.setattr("os.geteuid", lambda: euid)
    host.add(30, ONE, "/newruntime/box-7", 1)
    host.add(37, ONE, "/newruntime/box-7/app", 17)
    host.put_state("runc", "jail", {"init_process_pid": 30, "init_process_start": start})
    assert ask.tree() == {HOST: None, ONE: name}
    owner = ask.document["namespaces"][1]["container"]
    assert (owner["runtime"], owner["name"]) == (runtime, name)
    assert owner["id"] == ("jail" if runtime == "runc" else f"/newruntime/box-7:{ONE}")
    for word in (name, f"id:{owner['id']}", f"name:{name}"):
        assert ask.quiet("17", "--in", word) == "37", word
    shown = ask.document_of(ps)["processes"]
    assert {it["pid"]: it["container"] and it["container"]["id"] for it in shown} == {
        1: None, 5: None, 30: owner["id"], 37: owner["id"],
    }  # fmt: skip


def test_where_the_rules_know_all_no_states_are_asked(
    host: FakeHost, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pidscope.containers.names.name_unknown", pytest.fail)
    host.add(30, ONE, f"/docker/{A}", 1)
    assert ask.tree() == {HOST: None, ONE: A}


def test_two_in_one_cgroup_are_told_apart(host: FakeHost, ask: Asker) -> None:
    """``unshare -fp`` twice from one shell; and a third inside the first."""
    scope = "/user.slice/user-0.slice/session-3.scope"
    host.add(30, ONE, scope, 1)
    host.add(31, TWO, scope, 1)
    refused = ask.refusal("-q", "1", "--in", "session-3.scope")
    assert isinstance(refused, AmbiguousError)
    assert [line.split()[0] for line in refused.candidates] == [f"ns:{ONE}", f"ns:{TWO}"]
    assert len({line.split("  ", 1)[1] for line in refused.candidates}) == 2


def test_a_users_sandbox_is_that_users(host: FakeHost, ask: Asker) -> None:
    host.add(30, ONE, f"{USER}/app.slice/app-chromium-4411.scope", 1)
    assert ask.tree() == {HOST: None, ONE: "app-chromium-4411.scope"}
    [_, it] = ask.document["namespaces"]
    assert it["container"]["uid"] == 1001


def test_a_service_with_its_own_namespace_is_a_service(host: FakeHost, ask: Asker) -> None:
    """PrivatePIDs=, systemd 257."""
    host.add(30, ONE, "/system.slice/a.service", 1)
    assert ask.tree() == {HOST: None, ONE: "a.service"}


def test_where_a_cgroup_shows_nothing_none_is_not_said(host: FakeHost, ask: Asker) -> None:
    """A zombie's cgroup on v1 is the root, wherever it was."""
    host.add(30, ONE, "/", 1)
    status = host.root / "30" / "status"
    status.write_text(status.read_text().replace("S (sleeping)", "Z (zombie)"))
    assert ask.tree() == {HOST: None, ONE: None}
    assert not ask.document["containers_known"]


# --- what is printed is accepted -------------------------------------------------------------


@pytest.mark.parametrize(
    ("cgroup", "words"),
    [
        ("/default/ctr-one", ["ctr-one", "id:ctr-one", "name:ctr-one", "containerd://ctr-one"]),
        ("/default/a-long-name-of-ctr", ["a-long-name-", "a-long-name-of-ctr"]),
        (f"/docker/{A}", [A, A[:12], f"docker://{A}", f"id:{A.upper()}"]),
        (f"/kubepods/pod{UID}/{A}", [f"containerd://{A}", f"pod:{UID}", UID]),
        (f"/kubepods/pod{UID}/crio-{A}", [f"cri-o://{A}"]),
        ("/lxc.payload.web", ["web", "/web", "name:web", "name:/web"]),
        (
            r"/system.slice/system-shadowsocks.slice/shadowsocks\x2drust@config.service",
            [
                r"shadowsocks\x2drust@config.service",
                r"shadowsocks\\x2drust@config.service",
                "shadowsocks-rust@config.service",
                r"service:shadowsocks\x2drust@config",
            ],
        ),
        (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", [f"pod:{B}"]),
    ],
)
def test_what_is_printed_is_accepted(
    cgroup: str, words: list[str], host: FakeHost, ask: Asker
) -> None:
    host.add(30, ONE, cgroup, 1)
    host.add(37, ONE, cgroup, 17)
    for word in words:
        assert ask.quiet("17", "--in", word) == "37", word


@pytest.mark.parametrize("word", ["host", "self"])
def test_a_container_that_is_called_like_the_host_is_not_hidden(
    word: str, host: FakeHost, ask: Asker
) -> None:
    """``lxc-create -n host``."""
    host.add(30, ONE, f"/lxc.payload.{word}", 1)
    refused = ask.refusal("-q", "1", "--in", word)
    assert isinstance(refused, AmbiguousError)
    own = "the host itself" if word == "host" else "pidscope itself"
    assert refused.candidates == (f"ns:{HOST}  {own}", f"ns:{ONE}  lxc container {word}")
    assert ask.quiet("1", "--in", f"name:{word}") == "30"


def test_a_word_that_names_nothing(host: FakeHost, ask: Asker) -> None:
    host.add(30, ONE, f"/docker/{A}", 1)
    assert type(ask.refusal("1", "--in", "id:nothing")) is NotFound
    assert type(ask.refusal("1", "--in", "web")) is HostError  # its name is not known


# --- what shows it ---------------------------------------------------------------------------


def test_explain_names_each_witness(
    host: FakeHost, ask: Asker, capsys: pytest.CaptureFixture[str]
) -> None:
    scope = r"/machine.slice/machine-lxc\x2d1231\x2dvmc.scope"
    host.add(1231, HOST, scope)
    host.add(1240, ONE, scope, 1, ppid=1231)
    host.add(1300, ONE, scope, 17)
    arguments = ("1300", "--to", "vmc", "--explain", "--proc", str(host.root))
    assert run(lookup, *arguments) == 0
    *_, blank, head, cgroup, first, most, oldest = capsys.readouterr().out.splitlines()
    assert (blank, head) == ("", f"libvirt container vmc: pid:[{ONE}]")
    assert cgroup.startswith(
        r"  the cgroup of 1300: 0::/machine.slice/machine-lxc\\x2d1231\\x2dvmc.scope (rule "
    )
    assert [first, most, oldest] == [
        f"  number 1 of pid:[{ONE}] is 1240",
        f"  2 of its 3 processes are in pid:[{ONE}]",
        f"  its oldest process is 1231: pid:[{HOST}]",
    ]
    assert run(lookup, "-J", *arguments) == 0
    [explained] = valid(capsys.readouterr().out)["explained"]
    assert explained["ns"] == ONE
    kinds = [it["kind"] for it in explained["witnesses"]]
    assert kinds == ["cgroup", "number 1", "most", "oldest"]


def test_each_file_of_the_host_is_read_once(
    host: FakeHost, ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, mountinfo was read for what covers processes and again for hidepid."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    opened, loaded = Mock(wraps=os.open), Mock(wraps=own_rules.load)
    monkeypatch.setattr("pidscope.host.proc_files.os.open", opened)
    monkeypatch.setattr(own_rules, "load", loaded)
    host.put_file("rules", "")
    monkeypatch.setattr("pidscope.sources.own_rules.rule_files", lambda *_: [f"{host.host}/rules"])
    host.add(30, ONE, "/newruntime/box-7", 1)
    assert ask.lines(lookup, "30", "--explain")
    paths = [str(call.args[0]) for call in opened.call_args_list]
    assert paths.count(f"{host.root}/self/mountinfo") == loaded.call_count == 1


def put_podman(host: FakeHost) -> str:
    stored = "var/lib/containers/storage/overlay-containers/containers.json"
    host.put_file(stored, json.dumps([{"id": A, "names": ["web"]}]))
    return f"/{stored}"


def put_runc(host: FakeHost) -> str:
    return host.put_state("runc", "web", {"init_process_pid": 30, "init_process_start": 30})


def put_kubelet(host: FakeHost) -> str:
    host.link_log("web", "app", A)
    return "/var/log/containers"


def put_nerdctl(host: FakeHost) -> str:
    config = f"run/containerd/io.containerd.runtime.v2.task/default/{A}/config.json"
    host.put_file(config, json.dumps({"annotations": {"nerdctl/name": "web"}}))
    return f"/{config}"


def put_conmon(host: FakeHost) -> str:
    host.add(20, HOST, "/machine.slice/libpod-conmon-x.scope")
    words = ("conmon", "-c", A, "-n", "web")
    (host.root / "20" / "cmdline").write_text("".join(f"{word}\0" for word in words))
    with (host.root / "20" / "status").open("a") as status:
        status.write("Uid:\t0\t0\t0\t0\n")
    return "the command line of its monitor 20"


PODMANS = f"/machine.slice/libpod-{A}.scope/container"


@pytest.mark.parametrize(
    ("cgroup", "put", "name"),
    [
        (PODMANS, put_podman, "podman container web"),
        (PODMANS, put_conmon, "podman container web"),
        (f"/kubepods/pod{UID}/{A}", put_kubelet, "pod default/web/app"),
        (f"/system.slice/nerdctl-{A}.scope", put_nerdctl, "containerd container web"),
        ("/newruntime/box-7", put_runc, "runc container web"),
    ],
)
def test_explain_names_what_gave_a_name(
    cgroup: str,
    put: Callable[[FakeHost], str],
    name: str,
    host: FakeHost,
    ask: Asker,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    source = put(host)
    host.add(30, ONE, cgroup, 1, ppid=20)
    lines = ask.lines(lookup, "30", "--explain")
    assert f"{name}: pid:[{ONE}]" in lines
    assert f"  its name is from {source}" in lines
    [explained] = ask.document_of(lookup, "30", "--explain")["explained"]
    sources = {it["kind"]: it["source"] for it in explained["witnesses"]}
    assert sources["name"] == source
    reported = f"  its engine or runtime reports that 30 is its first process ({source}): "
    assert (f"{reported}pid:[{ONE}]" in lines) == (put is put_runc) == ("engine" in sources)
    assert sources.get("engine", source) == source


def test_explain_without_a_container(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lookup, "5", "--explain", "--proc", str(host.root)) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "in no container:",
        "  the cgroup of 5: 0::/user.slice/user-0.slice/session-1.scope (no rule)",
    ]
