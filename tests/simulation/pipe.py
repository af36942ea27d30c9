"""The socket between callers and the engine: what is said over it comes in pieces, later, twice."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulation.books import Question

from serving.engine.contract import Ask, Failed, ToService, Wanted
from serving.engine.wire import Frames, frame

if TYPE_CHECKING:
    from simulation.history import History


class SimulatedPipe:
    """Between callers and the engine: what is said comes in pieces, later, twice."""

    def __init__(self, history: "History", bills: dict[str, str]) -> None:
        self._history, self._random, self._bills = history, history.random, bills
        self._coming, self._frames, self._woken = bytearray(), Frames(ToService), False
        self.asked: list[Question] = []
        """Questions asked in this life."""

    def ask(self, questions: Sequence[Question]) -> None:
        for each in questions:
            late = self._random.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 3])  # seconds that it waited somewhere
            wanted = Wanted(each.number, _ask(each, self._bills[each.customer]), self._history.time.monotonic - late)
            again = 1 + (self._random.random() < 0.03)
            each.copies += again
            self._coming += frame(wanted) * again
            self.asked.append(each)
            self._history.note(
                f"{each.number}: {each.customer}, {each.campaign}, by {each.channel}, key {each.key}"
                f"{', dry run' * each.dry_run}{', wrong facts' * each.wrong_facts}{', late' * (late > 0)}"
                f"{', twice' * (again > 1)}"
            )

    def receive(self, seconds: float | None) -> bytes:
        if not self._coming and seconds is None:
            while not self._coming and not self._woken:
                self._history.act()
        elif not self._coming and seconds:
            self._history.time.passes(seconds)
            if self._random.random() < 0.3:
                self._history.act()
        self._woken = False
        end = len(self._coming) if self._random.random() < 0.7 else self._random.randint(0, len(self._coming))
        data = bytes(self._coming[:end])
        del self._coming[:end]
        return data

    def send(self, data: bytes) -> None:
        history = self._history
        if history.disk.happens(history.disk.trouble.crash / 2):
            history.note("before the answers are heard")
            history.disk.crash()
        for packet in self._frames.of(data):
            history.note(f"  {packet.number}: {_said(packet)}")
            history.books.answered(packet)

    def wake(self) -> None:
        self._woken = True


def _said(packet: Any) -> str:
    if isinstance(packet, Failed):
        return f"{packet.kind} {packet.text}"
    said, replayed = json.loads(packet.given.body), ", replayed" * packet.given.replayed
    offer = "" if said["offer"] is None else f" {said['offer']['name']} at {said['send_at'][5:16]}"
    return f"{said['decision']}{offer}, {packet.given.decision_id[-4:]}{replayed} {[e['rule'] for e in said['rules']]}"


def _ask(question: Question, bill: str) -> Ask:
    channel: Any = question.channel
    facts = {"months": 3, "bill": float(bill), "plan": "basic", "age": 41, "channel": "mail"}
    return Ask(
        question.customer,
        {**facts, "bill": -1.0} if question.wrong_facts else facts,
        question.campaign,
        channel,
        dry_run=question.dry_run,
        idempotency=None if question.key is None else (*_split(question.key), question.digest),
    )


def _split(key: str) -> tuple[str, str]:
    caller, _, own = key.partition(":")
    return caller, own
