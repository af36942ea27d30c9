"""Work beside the decisions: bounded, ended in time, in nobody's way."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from serving.problems import Problem
from serving.security.gate import Caller
from serving.side_work import MOST_OF_ONE_KEY, MOST_WAITING, Check, SideWork


def caller(name: str = "a") -> Caller:
    return Caller(name, "report", name)


def statuses(found: list[object]) -> list[int]:
    return [each.status if isinstance(each, Problem) else 200 for each in found]


async def ask(side: SideWork, callers: list[Caller], work: Callable[[Check], None]) -> list[int]:
    return statuses(await asyncio.gather(*(side.run(each, work) for each in callers), return_exceptions=True))


def test_a_key_may_have_so_much_waiting_and_others_still_get_in() -> None:
    side, go = SideWork(), threading.Event()

    async def several() -> list[int]:
        asyncio.get_running_loop().call_later(0.1, go.set)
        return await ask(side, [caller()] * (MOST_OF_ONE_KEY + 3) + [caller("b")], lambda _: go.wait() and None)

    assert asyncio.run(several()) == [200] * MOST_OF_ONE_KEY + [429] * 3 + [200]


def test_more_than_can_wait_is_refused_and_there_is_room_again_afterwards() -> None:
    side, go = SideWork(), threading.Event()
    callers = [caller(str(number)) for number in range(MOST_WAITING + 3)]

    async def several() -> list[int]:
        asyncio.get_running_loop().call_later(0.1, go.set)
        return await ask(side, callers, lambda _: go.wait() and None)

    assert asyncio.run(several()) == [200] * MOST_WAITING + [503] * 3
    assert asyncio.run(several()) == [200] * MOST_WAITING + [503] * 3


def test_what_takes_too_long_ends_and_so_does_what_waits_behind_it() -> None:
    side = SideWork(deadline_seconds=0.2)

    def endless(check: Check) -> None:
        while True:
            check()
            time.sleep(0.01)

    async def several() -> list[int]:
        return await ask(side, [caller("a"), caller("b")], endless)

    started = time.monotonic()
    assert asyncio.run(several()) == [503, 503]
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("what", ["lifts", "lists of wordings"])
def test_who_comes_too_late_reads_of_what_was_asked_and_how_long_it_may_take(what: str) -> None:
    with pytest.raises(Problem) as late:
        asyncio.run(SideWork(0.05, what).run(caller(), lambda _: time.sleep(0.2)))
    assert late.value.type == "deadline-exceeded"
    assert f"the 0.05 s that {what} may take" in late.value.detail


def test_what_work_raises_is_raised() -> None:
    def fails(_: Check) -> None:
        raise Problem(422, "a", "b", "c")

    with pytest.raises(Problem, match="422"):
        asyncio.run(SideWork().run(caller(), fails))
