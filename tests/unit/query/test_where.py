"""Which namespace a word names, on snapshots that are made up."""

from __future__ import annotations

import pytest

from pidscope.containers.container import Chain, Container, innermost
from pidscope.errors import AmbiguousError, HostError, NotFound, PidscopeError, UsageError
from pidscope.query.labels import describe
from pidscope.query.place import Place
from pidscope.query.where import Scene, resolve
from pidscope.query.words import Kind, Where, parse_where
from pidscope.snapshot import Mount, Snapshot, Status, TaskReading

HOST, A, B, C = 4026531836, 4026532177, 4026532178, 4026532179

WEB = Container("docker", "3f2a91" + "0" * 58, name="web")
DB = Container("docker", "3f77" + "0" * 60, name="db")
POD_A = Container("containerd", "aa" * 32, None, "shop", "u-1", "default", "front")
POD_B = Container("containerd", "bb" * 32, None, "shop", "u-1", "default", "back")
UNIT = Container("systemd", "", unit="nginx.service")


def task(
    *numbers: int, ns: int | None, ticks: int = 100, tgid: int = 0, ppid: int = 1
) -> TaskReading:
    """A task; with ``tgid``, a thread of that process."""
    group = (tgid, *numbers[1:]) if tgid else numbers
    return TaskReading(
        numbers[0],
        Status(b"x", "S", ppid, group[0], numbers[0], group, numbers, numbers, numbers),
        ticks,
        ns,
    )


def scene(
    *tasks: TaskReading,
    containers: dict[int, Chain] | None = None,
    mount: Mount = Mount(HOST, True),  # noqa: B008 (a tuple)
    complete: bool = True,
) -> Scene:
    known = {reading.number: reading for reading in tasks}
    parents = {HOST: 0, A: HOST, B: HOST, C: A}
    return Scene(mount, known.get, Snapshot(tasks, parents), containers, complete)


def find(word: str, where: Scene) -> Place:
    return resolve(parse_where(word), where)


def refusal(word: str, where: Scene) -> PidscopeError:
    with pytest.raises(PidscopeError) as caught:
        find(word, where)
    return caught.value


def candidates(word: str, where: Scene) -> tuple[str, ...]:
    """What an ambiguous word may be."""
    error = refusal(word, where)
    assert isinstance(error, AmbiguousError)
    return error.candidates


# --- the words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "understood"),
    [
        ("host", Where(Kind.HOST, "host")),
        ("self", Where(Kind.SELF, "self")),
        ("pid:17", Where(Kind.PID, "pid:17", 17)),
        ("ns:4026531836", Where(Kind.NS, "ns:4026531836", HOST)),
        ("pid:[4026531836]", Where(Kind.NS, "pid:[4026531836]", HOST)),
        ("id:3F2a", Where(Kind.ID, "id:3F2a", text="3F2a")),
        ("name:a:b", Where(Kind.NAME, "name:a:b", text="a:b")),
        ("pod:default/web", Where(Kind.POD, "pod:default/web", pod=("default", "web"))),
        ("pod:d/w/c", Where(Kind.POD, "pod:d/w/c", pod=("d", "w", "c"))),
        ("service:ssh@a:b", Where(Kind.SERVICE, "service:ssh@a:b", text="ssh@a:b")),
        ("web", Where(Kind.BARE, "web", text="web")),
        ("we:b", Where(Kind.BARE, "we:b", text="we:b")),
        ("17", Where(Kind.BARE, "17", text="17")),
    ],
)
def test_a_word_that_is_understood(word: str, understood: Where) -> None:
    assert parse_where(word) == understood


@pytest.mark.parametrize(
    "word",
    ["", "pid:", "pid:x", "pid:-1", "pid:[", "pid:[1", "pid:12345678901", "ns:", "ns:0x1", "ns:٣",
     "id:", "name:", "pod:", "pod:a/", "pod:/b", "pod:a/b/c/d", "service:"],
)  # fmt: skip
def test_a_word_that_is_none(word: str) -> None:
    with pytest.raises(UsageError, match="no such place") as caught:
        parse_where(word)
    assert "pod:NS/POD[/CONTAINER]" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_hostile_word_is_escaped() -> None:
    here = scene(task(1, ns=HOST), containers={})
    errors = [refusal(word, here) for word in ("pid:\x1b[2J\n", "name:\x1b[2J\n")]
    assert [type(error) for error in errors] == [UsageError, NotFound]
    assert all(str(error).isprintable() for error in errors)


# --- namespaces and processes ----------------------------------------------------------------


def test_the_namespace_of_a_process_or_by_its_inum() -> None:
    here = scene(task(1, ns=HOST), task(42, 17, ns=A))
    assert find("pid:42", here) == find(f"ns:{A}", here) == find(f"pid:[{A}]", here) == Place(A)
    assert find("pid:1", here) == find("host", here) == find("self", here) == Place(HOST)


def test_self_is_the_readers_own_in_an_outer_mount() -> None:
    assert find("self", scene(mount=Mount(HOST, True, inside=A))) == Place(A)


NOTHING = scene(task(1, ns=HOST), containers={})
HIDDEN = scene(task(1, ns=HOST), task(42, 17, ns=None), containers={}, complete=False)
NO_CONTAINERS = scene(task(1, ns=HOST))
NOT_ALL = "among what this user may read"


@pytest.mark.parametrize(
    ("words", "where", "error", "message"),
    [
        (["host"], scene(mount=Mount(A, False)), HostError, "not known to be the host's"),
        (["host"], scene(mount=Mount(A, None)), HostError, "not known to be the host's"),
        (["pid:7", "ns:7", "name:web", "7", "web"], NOTHING, NotFound, "no "),
        (["pid:42"], HIDDEN, HostError, "may not read the namespace of process 42"),
        (["ns:7", "name:web", "web"], HIDDEN, HostError, NOT_ALL),
        (
            ["name:web", "web", "id:3f", "pod:a/b", "service:x"],
            NO_CONTAINERS,
            HostError,
            "containers cannot be named here",
        ),
    ],
    ids=["another's /proc", "whose /proc?", "absent", "hidden", "maybe hidden", "no containers"],
)
def test_what_cannot_be_found_is_called_absent_only_if_it_is(
    words: list[str], where: Scene, error: type[PidscopeError], message: str
) -> None:
    for word in words:
        found = refusal(word, where)
        assert type(found) is error and message in str(found), word


def test_errors_of_a_place_have_the_exit_codes_of_the_commands() -> None:
    assert [it.exit_code for it in (NotFound, UsageError, AmbiguousError, HostError)] == [
        1,
        2,
        2,
        3,
    ]


def test_a_process_outside_is_in_the_mounts_namespace_though_its_link_is_closed() -> None:
    assert find("pid:9", scene(task(9, ns=None), mount=Mount(None, None))) == Place(None)


# --- containers ------------------------------------------------------------------------------


def both(**more: object) -> Scene:
    return scene(
        task(1, ns=HOST, ticks=1),
        task(41, 1, ns=A, ticks=10),
        task(42, 17, ns=A, ticks=11),
        task(51, 1, ns=B, ticks=20),
        containers={41: (WEB,), 42: (WEB,), 51: (DB,)},
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("word", ["name:web", "web", "id:3f2a91", "3f2a91", "id:3F2A"])
def test_a_container_is_the_namespace_of_its_init(word: str) -> None:
    assert find(word, both()) == Place(A, (WEB,))


def test_a_prefix_of_two_ids_lists_both_and_guesses_nothing() -> None:
    error = refusal("id:3f", both())
    assert str(error) == "'id:3f' is more than one place"
    listed = candidates("id:3f", both())
    assert listed == (f"ns:{A}  docker container web", f"ns:{B}  docker container db")
    assert error.hint.splitlines()[-2:] == list(listed)
    assert [find(candidate.split()[0], both()).ns for candidate in listed] == [A, B]


def test_a_bare_number_is_tried_as_a_process_an_inum_and_an_id() -> None:
    numeric = Container("docker", "51" + "0" * 62, name="x")
    here = both()._replace(containers={41: (numeric,)})
    assert candidates("51", here) == (
        f"ns:{B}  that of process 51",
        f"ns:{A}  docker container x",
    )
    assert find("pid:51", here).ns == B
    assert find("42", here) == find(str(A), here)._replace(shared=((numeric,),))


def test_two_names_of_one_namespace_are_no_ambiguity() -> None:
    shared = scene(
        task(41, 1, ns=A, ticks=10), task(42, 2, ns=A, ticks=12),
        containers={41: (POD_A,), 42: (POD_B,)},
    )  # fmt: skip
    assert find("pod:default/shop", shared).ns == A
    assert find("pod:default/shop/back", shared) == Place(A, (POD_B,), ((POD_A,),))


def test_a_pod_whose_containers_have_their_own_is_ambiguous() -> None:
    apart = scene(task(41, 1, ns=A), task(51, 1, ns=B), containers={41: (POD_A,), 51: (POD_B,)})
    assert [line.split("  ")[1] for line in candidates("default/shop", apart)] == [
        "pod default/shop/front",
        "pod default/shop/back",
    ]
    assert find("default/shop/front", apart) == Place(A, (POD_A,))


def test_who_else_has_the_namespace_is_told() -> None:
    host_pid = scene(
        task(1, ns=HOST, ticks=1), task(60, ns=HOST, ticks=30), containers={60: (WEB,)}
    )
    assert find("name:web", host_pid) == Place(HOST, (WEB,), with_host=True)
    sidecar = both()._replace(
        snapshot=Snapshot((task(41, 1, ns=A), task(51, 9, ns=A))),
        containers={41: (WEB,), 51: (DB,)},
    )
    assert find("name:db", sidecar) == Place(A, (DB,), ((WEB,),))


def test_the_init_is_the_oldest_member_whatever_its_number() -> None:
    # A namespace inside a container, and one who was put in from outside, come later.
    here = scene(
        task(40, ns=HOST, ticks=13),
        task(41, 1, ns=A, ticks=10),
        task(43, 5, 1, ns=C, ticks=12, ppid=41),
        containers={41: (WEB,), 43: (WEB,), 40: (WEB,)},
    )
    assert find("web", here) == Place(A, (WEB,))


def test_threads_are_no_members_of_their_own() -> None:
    here = scene(
        task(42, 17, ns=None, ticks=1, tgid=41), task(41, 1, ns=A, ticks=10),
        containers={41: (WEB,)},
    )  # fmt: skip
    assert find("web", here).ns == A


def test_a_service_is_found_with_and_without_its_suffix() -> None:
    here = scene(task(1, ns=HOST), task(60, ns=HOST), containers={60: (UNIT,)})
    for word in ("service:nginx", "service:nginx.service", "nginx", "nginx.service"):
        assert find(word, here) == Place(HOST, (UNIT,), with_host=True)


def test_the_same_service_in_two_containers_is_two_places() -> None:
    here = both()._replace(containers={41: (WEB, UNIT), 51: (DB, UNIT)})
    assert [line.split("  ")[1] for line in candidates("nginx", here)] == [
        "service nginx.service in docker container web",
        "service nginx.service in docker container db",
    ]


def test_a_container_in_a_container() -> None:
    inner = Container("containerd", "cc" * 32)
    here = scene(
        task(41, 1, ns=A, ticks=10),
        task(43, 5, 1, ns=C, ticks=12, ppid=41),
        containers={41: (WEB,), 43: (WEB, inner)},
    )
    assert find("web", here).ns == A
    assert find("id:cc", here) == Place(C, (WEB, inner))
    assert describe((WEB, inner)) == "containerd container cccccccccccc in docker container web"


def test_many_candidates_are_not_all_listed() -> None:
    named = {n: (Container("docker", f"ab{n:062}", name="a"),) for n in range(100, 130)}
    *listed, last = candidates(
        "name:a", scene(*(task(n, 1, ns=n) for n in named), containers=named)
    )
    assert (len(listed), last) == (10, "… and 20 more")


def test_a_hostile_name_is_escaped() -> None:
    bad = Container("docker", "ab" * 32, name="\x1b[2J\udcff")
    assert describe((bad,)) == "docker container \\x1b[2J\\xff"


def test_a_containers_own_service_is_its_unit() -> None:
    own = WEB._replace(unit="nginx.service")
    expected = {(UNIT,): UNIT, (UNIT, WEB): WEB, (WEB, UNIT): own, (): None}
    assert {chain: innermost(chain) for chain in expected} == expected


@pytest.mark.parametrize(
    ("word", "error"),
    [("name:web", HostError), ("web", HostError), ("id:77", NotFound), ("service:web", NotFound)],
)
def test_a_name_is_not_absent_while_a_container_has_told_none(
    word: str, error: type[Exception]
) -> None:
    """Its engine is stopped or does not answer, and the container goes on."""
    told = Container("docker", "cd" * 32, name="db")
    silent = Container("docker", "ab" * 32)
    here = scene(task(1, ns=HOST), task(5, ns=A), containers={1: (told,), 5: (silent,)})
    found = refusal(word, here)
    assert type(found) is error
    assert str(found).endswith(" that is known") == (error is HostError)
    assert ("abababababab" in found.hint) == (error is HostError)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        *(("name:web", HostError), ("web", HostError), ("id:77", HostError), ("pod:p", HostError)),
        *(("service:web", NotFound), ("pid:77", NotFound)),
    ],
)
def test_nothing_is_absent_while_a_container_is_of_an_unknown_runtime(
    word: str, error: type[Exception]
) -> None:
    """Podman 4.3, rootless, cgroups v1: its container has no cgroup but Podman's own scope."""
    scope = "/user.slice/user-1001.slice/user@1001.service/user.slice/podman-3385.scope"
    unknown = Container("?", scope, "podman-3385.scope", uid=1001)
    here = scene(task(1, ns=HOST), task(5, ns=A), containers={5: (unknown,)})
    found = refusal(word, here)
    assert type(found) is error
    assert ("podman-3385.scope" in found.hint) == (error is HostError)


def test_a_pod_is_not_absent_while_one_has_told_no_name() -> None:
    silent = Container("containerd", "ab" * 32, pod_uid="0f7c1a52")
    here = scene(task(1, ns=HOST), task(5, ns=A), containers={5: (silent,)})
    with pytest.raises(HostError, match=r"no pod .* that is known"):
        find("pod:default/db-0", here)


@pytest.mark.parametrize(
    ("word", "error"), [("pod:shop", HostError), ("shop", HostError), ("name:shop", NotFound)]
)
def test_a_pod_is_not_absent_while_only_its_containers_have_names(
    word: str, error: type[Exception]
) -> None:
    """Podman 4.3: files have the names of containers, and only the engine those of pods."""
    silent = Container("podman", "ab" * 32, "web", pod_uid="cd" * 32)
    here = scene(task(1, ns=HOST), task(5, ns=A), containers={5: (silent,)})
    assert type(refusal(word, here)) is error
