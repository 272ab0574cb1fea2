"""Which of several PID namespaces is a container's: who speaks for which, and who is believed."""

from __future__ import annotations

import pytest

from pidscope.query.witnesses import Member, Question, Verdict, Witness, judge

HOST, ONE, TWO, IN_ONE = 100, 101, 102, 103  # inums
PARENTS = {HOST: 0, ONE: HOST, TWO: HOST, IN_ONE: ONE}


def question(*members: Member, runtime: str = "docker", **more: object) -> Question:
    """The processes of a container, in the order in which they started."""
    starts = {it.number: at for at, it in enumerate(members)}
    asked = Question(members, HOST, PARENTS, starts.get, runtime)
    return asked._replace(**more)  # type: ignore[arg-type]


HOSTS = Member(700, HOST, 700, 1)
FIRST = Member(701, ONE, 1, 700)
APP = Member(702, ONE, 17, 701)
OTHERS_FIRST = Member(801, TWO, 1, 1)

# Title: the question, the namespace. Where no project is named, it is what the kernel allows.
CASES: dict[str, tuple[Question, int | None]] = {
    "libvirt-lxc 9: the monitor is older, in the same scope, and lives on the host": (
        question(HOSTS, FIRST, APP, runtime="libvirt"),
        ONE,
    ),
    "libvirt-lxc 9, whose container is its init alone": (
        question(HOSTS, FIRST, runtime="libvirt"),
        ONE,
    ),
    "systemd-nspawn 252 on v1: supervisor and payload have one pids cgroup": (
        question(HOSTS, FIRST, APP, runtime="nspawn"),
        ONE,
    ),
    "docker --pid=host, and one of its processes has made a namespace": (
        question(HOSTS, FIRST, APP),
        None,
    ),
    "docker --pid=host": (question(HOSTS, HOSTS._replace(number=703)), HOST),
    "a process of the host was moved in later (echo PID >cgroup.procs)": (
        question(FIRST, APP, HOSTS),
        ONE,
    ),
    "two were moved in, as many as the container has": (
        question(FIRST, APP, HOSTS, HOSTS._replace(number=703)),
        None,
    ),
    "the number 1 of another container was moved in": (question(FIRST, APP, OTHERS_FIRST), None),
    "the same beside a monitor": (
        question(HOSTS, FIRST, APP, OTHERS_FIRST, runtime="libvirt"),
        None,
    ),
    "chromium's sandbox in a container has more processes than the container": (
        question(FIRST, Member(710, IN_ONE, 1), Member(711, IN_ONE, 2), Member(712, IN_ONE, 3)),
        ONE,
    ),
    "runc exec on its way through the host, from the shim that is the parent of number 1": (
        question(
            Member(701, ONE, 1, 690),
            Member(720, HOST, 720, 719),
            parent_of={719: 690, 720: 719}.get,
        ),
        ONE,
    ),
    "the same from elsewhere": (
        question(Member(701, ONE, 1, 690), Member(720, HOST, 720, 5), parent_of={720: 5}.get),
        None,
    ),
    "--pid=container:, and what is executed in it on its way": (
        question(APP, APP._replace(number=703, inner=18), HOSTS),
        ONE,
    ),
    "--pid=host, and two have entered another's namespace": (
        question(HOSTS, APP, APP._replace(number=703)),
        None,
    ),
    "most are on the host, but not all": (
        question(HOSTS, HOSTS._replace(number=703), APP),
        None,
    ),
    "the number 1 of the container around was moved in": (
        question(FIRST, Member(710, IN_ONE, 1), Member(711, IN_ONE, 5), around=frozenset({ONE})),
        None,
    ),
    "it was, and nothing is left around": (
        question(FIRST, Member(710, IN_ONE, 1), Member(711, IN_ONE, 5), hollow=True),
        None,
    ),
    "a sandbox, whose number 1 has a parent in the container": (
        question(FIRST, APP, Member(710, IN_ONE, 1, APP.number)),
        ONE,
    ),
    "a number 1 inside that something outside has made": (
        question(FIRST, APP, Member(710, IN_ONE, 1, 690)),
        None,
    ),
    "a service of the host that has made a sandbox": (
        question(HOSTS, FIRST, APP, runtime="systemd", is_service=True),
        HOST,
    ),
    "a process that has gone says nothing": (
        question(FIRST, HOSTS, started={FIRST.number: 5}.get),
        ONE,
    ),
    "none may be read": (question(FIRST._replace(ns=None)), None),
    "some may not be read, but number 1": (question(FIRST, APP._replace(ns=None)), ONE),
    "some may not be read, and number 1 is not there": (
        question(APP, APP._replace(number=703, ns=None)),
        None,
    ),
}


@pytest.mark.parametrize("title", CASES)
def test_the_namespace_of_a_container(title: str) -> None:
    asked, expected = CASES[title]
    assert judge(asked).ns == expected


def test_an_engine_says_which_process_is_the_first() -> None:
    """Docker's State.Pid; it decides between a monitor and --pid=host."""
    asked = question(HOSTS, FIRST, APP)
    assert judge(asked._replace(said=HOSTS)).ns == HOST
    assert judge(asked._replace(said=FIRST)).ns == ONE
    # It is in no cgroup of the container's, which the rest has to agree with.
    moved = Member(900, TWO, 1)
    assert judge(question(FIRST, APP, said=moved)).ns is None
    assert judge(question(APP, said=FIRST)).ns == ONE


def test_a_dispute_names_the_witnesses() -> None:
    assert judge(question(HOSTS, FIRST, APP)) == Verdict(
        None,
        (
            Witness("number 1", ONE, 701),
            Witness("most", ONE, 0, 2, 3),
            Witness("oldest", HOST, 700),
        ),
    )


def test_of_one_namespace_no_start_is_read() -> None:
    def never(number: int) -> int:
        raise AssertionError("no start has to be read")

    assert judge(question(FIRST, APP)._replace(started=never)).ns == ONE
