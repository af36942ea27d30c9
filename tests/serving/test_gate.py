"""The gate: keys, their roles and rates; what it remembers and for how long."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from serving.ledger import LedgerUnavailable
from serving.ledger.types import ApiKey
from serving.problems import Problem
from serving.security.gate import Bucket, Buckets, Gate


class Moment:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Connection:
    """What the gate looks at of Litestar's."""

    def __init__(self, key: str | None, address: str = "10.0.0.1", scheme: str = "Bearer") -> None:
        headers = [] if key is None else [(b"authorization", f"{scheme} {key}".encode())]
        self.scope = {"headers": headers, "client": (address, 1)}


def make(clock: Moment, keys: dict[str, ApiKey], asked: list[str], **changes: Any) -> Gate:
    def verify(token: str) -> ApiKey | None:
        asked.append(token)
        return keys.get(token)

    return Gate(verify, **{"rate": 10.0, "burst": 20.0, "cache_seconds": 5.0, "clock": clock, **changes})


KEY = ApiKey("k1", "shop", "decide", 0.0, None, None)


def admit(gate: Gate, connection: Any, times: int = 1) -> Any:
    async def several() -> Any:
        return [await gate.admit(connection, 1.0) for _ in range(times)][-1]

    return asyncio.run(several())


def refused(action: Callable[[], Any]) -> Problem:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value


def test_a_known_key_is_asked_once_while_it_is_trusted() -> None:
    clock, asked = Moment(), list[str]()
    gate = make(clock, {"good": KEY}, asked)
    assert admit(gate, Connection("good"), times=3).name == "shop"
    assert asked == ["good"]


def test_a_revoked_key_works_no_longer_than_it_is_trusted() -> None:
    clock, asked, keys = Moment(), list[str](), {"good": KEY}
    gate = make(clock, keys, asked)
    admit(gate, Connection("good"))
    del keys["good"]
    clock.now += 4.9
    admit(gate, Connection("good"))
    clock.now += 0.2
    assert refused(lambda: admit(gate, Connection("good"))).status == 401


@pytest.mark.parametrize(
    "connection", [Connection(None), Connection("good", scheme="Basic"), Connection("wrong"), Connection("x" * 5000)]
)
def test_anything_but_a_known_bearer_key_is_refused(connection: Any) -> None:
    problem = refused(lambda: admit(make(Moment(), {"good": KEY}, []), connection))
    assert problem.status == 401
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    assert not problem.errors  # what was presented is not repeated


def test_wrong_keys_are_tried_slowly_and_known_ones_stay_welcome() -> None:
    clock, asked = Moment(), list[str]()
    gate = make(clock, {"good": KEY}, asked)
    admit(gate, Connection("good"))
    wrong = [Connection(f"wrong {number}") for number in range(60)]
    statuses = [refused(functools.partial(admit, gate, each)).status for each in wrong]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert len(asked) < 30  # the ledger is spared
    assert admit(gate, Connection("good")).key_id == "k1"
    assert refused(lambda: admit(gate, Connection("wrong", address="10.0.0.2"))).status == 401


def test_a_ledger_that_is_gone_is_no_proof_of_a_wrong_key() -> None:
    gone = True

    def verify(token: str) -> ApiKey | None:
        if gone:
            raise LedgerUnavailable("gone")
        return KEY if token == "good" else None

    gate = Gate(verify, rate=10.0, burst=20.0, cache_seconds=5.0, clock=Moment())
    for _ in range(60):
        with pytest.raises(LedgerUnavailable):
            admit(gate, Connection("good"))
    gone = False
    assert admit(gate, Connection("good")).key_id == "k1"


def test_a_batch_is_one_charge_and_is_told_when_it_can_be_paid() -> None:
    clock = Moment()
    gate = make(clock, {"good": KEY}, [])  # 10 a second, 20 at once
    caller = admit(gate, Connection("good"), times=5)
    gate.charge(caller, 10, instead_of=1)
    admit(gate, Connection("good"))
    problem = refused(lambda: gate.charge(caller, 20, instead_of=1))
    assert (problem.status, problem.headers["Retry-After"]) == (429, "2")  # 1.4 s
    clock.now += 1.5
    admit(gate, Connection("good"))
    gate.charge(caller, 20, instead_of=1)


def test_a_key_has_so_many_requests_and_gets_more_with_time() -> None:
    clock = Moment()
    gate = make(clock, {"good": KEY}, [])
    admit(gate, Connection("good"), times=20)
    problem = refused(lambda: admit(gate, Connection("good")))
    assert (problem.status, problem.headers["Retry-After"]) == (429, "1")
    clock.now += 0.11
    admit(gate, Connection("good"))


def test_many_at_once_ask_the_ledger_once() -> None:
    asked: list[str] = []
    gate = make(Moment(), {"good": KEY}, asked)

    async def many() -> None:
        await asyncio.gather(*(gate.admit(Connection("good"), 0.1) for _ in range(16)))  # type: ignore[arg-type]

    asyncio.run(many())
    assert asked == ["good"]


def test_a_bucket_refills_to_its_burst_and_no_further() -> None:
    bucket = Bucket(rate=2.0, burst=4.0, now=0.0)
    assert [bucket.take(1, 0.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert [bucket.take(1, 100.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert bucket.take(1000, 200.0) == 0  # more than a burst costs a burst


def test_strangers_cannot_fill_the_memory() -> None:
    buckets = Buckets(1.0, 1.0, Moment(), most=10)
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets._buckets) == 10


async def all_at_once(gate: Gate, connections: list[Connection]) -> list[int]:
    """The status each is answered with."""
    found = await asyncio.gather(*(gate.admit(each, 0.1) for each in connections), return_exceptions=True)  # type: ignore[arg-type]
    return [each.status if isinstance(each, Problem) else 200 for each in found]


def test_many_first_requests_with_a_right_key_are_all_admitted() -> None:
    gate = make(Moment(), {"good": KEY}, [])
    assert asyncio.run(all_at_once(gate, [Connection("good")] * 64)) == [200] * 64


def test_many_right_keys_from_one_address_are_all_admitted() -> None:
    keys = {f"good {number}": ApiKey(f"k{number}", "shop", "decide", 0.0, None, None) for number in range(60)}
    asked: list[str] = []
    gate = make(Moment(), keys, asked)
    assert asyncio.run(all_at_once(gate, [Connection(each) for each in keys] * 2)) == [200] * 120
    assert sorted(asked) == sorted(keys)


def test_a_wrong_key_costs_a_look_however_many_requests_have_it() -> None:
    asked: list[str] = []
    gate = make(Moment(), {}, asked)
    assert set(asyncio.run(all_at_once(gate, [Connection("wrong")] * 64))) == {401}
    assert asked == ["wrong"]


def test_wrong_keys_at_once_are_tried_no_faster_than_one_after_another() -> None:
    asked: list[str] = []
    gate = make(Moment(), {"good": KEY}, asked)
    wrong = [Connection(f"wrong {number}") for number in range(60)]
    statuses = asyncio.run(all_at_once(gate, [*wrong, Connection("good", address="10.0.0.2")]))
    assert statuses == [401] * 20 + [429] * 40 + [200]
    assert len(asked) == 21
