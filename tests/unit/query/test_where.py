"""Which namespace a word names, on snapshots that are made up."""

from __future__ import annotations

import pytest

from pidscope.containers.container import Chain, Container, innermost
from pidscope.errors import AmbiguousError, HostError, NotFound, UsageError
from pidscope.query.where import Kind, Place, Scene, Where, describe, parse_where, resolve
from pidscope.snapshot import Mount, Snapshot, Status, TaskReading

HOST, A, B, C = 4026531836, 4026532177, 4026532178, 4026532179

WEB = Container("docker", "3f2a91" + "0" * 58, name="web")
DB = Container("docker", "3f77" + "0" * 60, name="db")
POD_A = Container("containerd", "aa" * 32, None, "shop", "u-1", "default", "front")
POD_B = Container("containerd", "bb" * 32, None, "shop", "u-1", "default", "back")
UNIT = Container("systemd", "", unit="nginx.service")


def task(*numbers: int, ns: int | None, ticks: int = 100, tgid: int = 0) -> TaskReading:
    """A task; with ``tgid``, a thread of that process."""
    group = (tgid, *numbers[1:]) if tgid else numbers
    return TaskReading(
        numbers[0],
        Status(b"x", "S", 1, group[0], numbers[0], group, numbers, numbers, numbers),
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


# --- the words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "understood"),
    [
        ("host", Where(Kind.HOST, "host")),
        ("self", Where(Kind.SELF, "self")),
        ("pid:17", Where(Kind.PID, "pid:17", 17)),
        ("ns:4026531836", Where(Kind.NS, "ns:4026531836", HOST)),
        ("pid:[4026531836]", Where(Kind.NS, "pid:[4026531836]", HOST)),
        ("id:3F2a", Where(Kind.ID, "id:3F2a", text="3f2a")),
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
     "id:", "id:xyz", "name:", "pod:", "pod:a", "pod:a/", "pod:/b", "pod:a/b/c/d", "service:"],
)  # fmt: skip
def test_a_word_that_is_none(word: str) -> None:
    with pytest.raises(UsageError, match="no such place") as caught:
        parse_where(word)
    assert "pod:NS/POD[/CONTAINER]" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_hostile_word_is_escaped() -> None:
    with pytest.raises(UsageError) as caught:
        parse_where("pid:\x1b[2J\n")
    assert str(caught.value).isprintable()
    with pytest.raises(NotFound) as missing:
        find("name:\x1b[2J\n", scene(task(1, ns=HOST), containers={}))
    assert str(missing.value).isprintable()


# --- namespaces and processes ----------------------------------------------------------------


def test_the_namespace_of_a_process_or_by_its_inum() -> None:
    here = scene(task(1, ns=HOST), task(42, 17, ns=A))
    assert find("pid:42", here) == find(f"ns:{A}", here) == find(f"pid:[{A}]", here) == Place(A)
    assert find("pid:1", here) == find("host", here) == find("self", here) == Place(HOST)


def test_self_is_the_readers_own_in_an_outer_mount() -> None:
    assert find("self", scene(mount=Mount(HOST, True, inside=A))) == Place(A)


def test_host_is_not_guessed() -> None:
    for initial in (False, None):
        with pytest.raises(HostError, match="not known to be the host's") as caught:
            find("host", scene(mount=Mount(A, initial)))
        assert caught.value.exit_code == 3


def test_what_is_not_there() -> None:
    here = scene(task(1, ns=HOST), containers={})
    for word in ("pid:7", "ns:7", "name:web", "7", "web"):
        with pytest.raises(NotFound) as caught:
            find(word, here)
        assert caught.value.exit_code == 1


def test_what_may_not_be_read_is_not_called_absent() -> None:
    here = scene(task(1, ns=HOST), task(42, 17, ns=None), containers={}, complete=False)
    with pytest.raises(HostError, match="may not read the namespace of process 42"):
        find("pid:42", here)
    for word in ("ns:7", "name:web", "web"):
        with pytest.raises(HostError, match="among what this user may read"):
            find(word, here)


def test_where_nobody_looked_for_containers_none_is_called_absent() -> None:
    for word in ("name:web", "web", "id:3f", "pod:a/b", "service:x"):
        with pytest.raises(HostError, match="containers cannot be named here"):
            find(word, scene(task(1, ns=HOST)))


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
    with pytest.raises(AmbiguousError, match="'id:3f' is more than one place") as caught:
        find("id:3f", both())
    assert caught.value.exit_code == 2
    assert caught.value.candidates == (
        f"ns:{A}  docker container web",
        f"ns:{B}  docker container db",
    )
    for candidate in caught.value.candidates:
        assert find(candidate.split()[0], both()).ns in (A, B)
        assert candidate in caught.value.hint.splitlines()


def test_a_bare_number_is_tried_as_a_process_an_inum_and_an_id() -> None:
    numeric = Container("docker", "51" + "0" * 62, name="x")
    here = both()._replace(containers={41: (numeric,)})
    with pytest.raises(AmbiguousError) as caught:
        find("51", here)
    assert caught.value.candidates == (
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
    with pytest.raises(AmbiguousError) as caught:
        find("default/shop", apart)
    assert [line.split("  ")[1] for line in caught.value.candidates] == [
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
        task(43, 5, 1, ns=C, ticks=12),
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
    with pytest.raises(AmbiguousError) as caught:
        find("nginx", here)
    assert [line.split("  ")[1] for line in caught.value.candidates] == [
        "service nginx.service in docker container web",
        "service nginx.service in docker container db",
    ]


def test_a_container_in_a_container() -> None:
    inner = Container("containerd", "cc" * 32)
    here = scene(
        task(41, 1, ns=A, ticks=10),
        task(43, 5, 1, ns=C, ticks=12),
        containers={41: (WEB,), 43: (WEB, inner)},
    )
    assert find("web", here).ns == A
    assert find("id:cc", here) == Place(C, (WEB, inner))
    assert describe((WEB, inner)) == "containerd container cccccccccccc in docker container web"


def test_many_candidates_are_not_all_listed() -> None:
    tasks = [task(n, 1, ns=n) for n in range(100, 130)]
    here = scene(
        *tasks,
        containers={n: (Container("docker", f"ab{n:062}", name="a"),) for n in range(100, 130)},
    )
    with pytest.raises(AmbiguousError) as caught:
        find("name:a", here)
    assert len(caught.value.candidates) == 11
    assert caught.value.candidates[-1] == "… and 20 more"


def test_a_hostile_name_is_escaped() -> None:
    bad = Container("docker", "ab" * 32, name="\x1b[2J\udcff")
    assert describe((bad,)) == "docker container \\x1b[2J\\xff"


def test_a_containers_own_service_is_its_unit() -> None:
    assert innermost((UNIT,)) == UNIT
    assert innermost((UNIT, WEB)) == WEB
    assert innermost((WEB, UNIT)) == WEB._replace(unit="nginx.service")
    assert innermost(()) is None


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
    with pytest.raises(error) as caught:
        find(word, here)
    if error is HostError:
        assert str(caught.value).endswith(" that is known")
        assert "abababababab" in caught.value.hint  # type: ignore[attr-defined]


def test_a_pod_is_not_absent_while_one_has_told_no_name() -> None:
    silent = Container("containerd", "ab" * 32, pod_uid="0f7c1a52")
    here = scene(task(1, ns=HOST), task(5, ns=A), containers={5: (silent,)})
    with pytest.raises(HostError, match=r"no pod .* that is known"):
        find("pod:default/db-0", here)
