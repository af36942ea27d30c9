"""Messages: when one may be sent, the checked template of it, and what the bundle's language model writes instead.

None is sent in the recipient's quiet hours; a contact that would fall into them waits for their end. Without a time
zone every zone the customer may be in counts, and the strictest region's hours (`shield.contact`).

The model writes with stand-ins for the names, once for all whose briefs differ in names only; once more where the
shield refuses the text with the names of who asked. Each message is checked with its own names. Whatever does not come
in time, or does not pass the shield, leaves the checked template in place, and says why.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import queue
import threading
import time
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog

from retentionjax import shield
from retentionjax.bundle import Bundle
from retentionjax.bundle.language import writer
from retentionjax.errors import BundleError, ConfigError, DataError, RetentionJaxError
from retentionjax.shield import Brief, OfferTerms, Recipient, Rules, Sender, may_contact
from retentionjax.shield.brief import CHANNELS
from retentionjax.shield.verdict import Verdict, Violation
from serving.engine.contract import Ask, Mark, Message
from serving.observability.metrics import Metrics
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.engine.slots import Served

_NO_PLACES = {"Factory", "localtime", "posixrules"}  # files beside the zones: this machine's own, or none
_QUARTER = 900.0  # seconds; quiet hours begin and end on a quarter of an hour in every zone
_REACHABLE = frozenset(CHANNELS)  # whether she agreed to be contacted at all is another question


class QuietHoursCache:
    """The quiet hours of a bundle's rules, remembered for each zone and quarter of an hour."""

    def __init__(self, rules: Rules) -> None:
        self._opens = lru_cache(maxsize=4096)(lambda zone, quarter: _opens(zone, quarter, rules))

    def earliest(self, zone: str | None, at: float) -> float:
        """The first moment at or after `at` that is fit, both UTC epoch seconds.

        Raises DataError for a zone that is unknown, or where no moment of the next days is fit.
        """
        quarter = at // _QUARTER
        opens = self._opens(zone, quarter)
        return at if opens == quarter * _QUARTER else opens


def _opens(zone: str | None, quarter: float, rules: Rules) -> float:
    moment = dt.datetime.fromtimestamp(quarter * _QUARTER, dt.UTC)
    permission = may_contact(Recipient(consent=_REACHABLE, time_zone=zone), "sms", moment, rules)
    if permission.earliest is None:
        raise DataError(f"time zone {zone!r}: the rules leave no hour in the next days for a contact")
    return permission.earliest.timestamp()


def is_zone(name: str) -> bool:
    """Whether `name` is a place's time zone, or UTC's, that this machine knows."""
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - _NO_PLACES)


_KEPT = 8192


class Blocked(Exception):  # noqa: N818 - what the shield says
    """The shield refuses the text: by these rules."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        super().__init__(", ".join(rules))
        self.rules = rules


class Templates:
    """Templates of one bundle. Used by the writer's thread only."""

    def __init__(self, bundle: Bundle, kept: int = _KEPT) -> None:
        """Raises BundleError for a bundle without the part `shield`."""
        if bundle.message is None or bundle.rules is None:
            raise BundleError(f"{bundle.folder}: has no part 'shield', so it writes no messages")
        self._settings, self.rules = bundle.message, bundle.rules
        self._offers = [bundle.said_offer(place) for place in range(len(bundle.offers))]
        self._passed: OrderedDict[Hashable, Message] = OrderedDict()
        self._kept = kept

    def brief(self, ask: Ask, offer: int) -> Brief:
        """What the message is to say, of an offer by its index."""
        recipient = {"first_name": ask.first_name}
        if ask.channel is not None:
            recipient["channel"] = ask.channel
        if ask.tone is not None:
            recipient["tone"] = ask.tone
        return self._settings.brief(ask.facts, recipient, self._offers[offer])

    def write(self, brief: Brief) -> Message:
        """The template, passed by the shield. Raises Blocked where no template passes."""
        key = key_of(brief)
        message = self._passed.get(key)
        if message is None:
            message = self._passed[key] = self._render(brief)
            if len(self._passed) > self._kept:
                self._passed.popitem(last=False)
        else:
            self._passed.move_to_end(key)
        return message

    def _render(self, brief: Brief) -> Message:
        try:
            text, verdict = shield.render_checked(brief, self.rules)
        except ConfigError:
            raise Blocked(("template",)) from None
        return passed(text, verdict, "template", brief)


def checked(text: str, source: Literal["model", "template"], brief: Brief, rules: shield.Rules) -> Message:
    """The text as a message. Raises Blocked where the shield refuses it."""
    verdict = shield.check(text, brief, rules, by="model" if source == "model" else "person")
    return passed(text, verdict, source, brief)


def passed(text: str, verdict: Verdict, source: str, brief: Brief) -> Message:
    """Passes as `checked` does, with what the shield said: the only way to a Message is through here."""
    if not verdict.passed:
        raise Blocked(verdict.blocking)
    return Message(
        text=text,
        source="model" if source == "model" else "template",
        channel=brief.channel,
        footer=shield.footer(brief) if brief.channel == "email" else "",
        rules_version=verdict.rules_version,
        warnings=tuple(_mark(each) for each in verdict.violations),
    )


def key_of(brief: Brief) -> Hashable:
    """What of a brief matters for its words."""
    return brief.channel, brief.tone, brief.first_name, brief.offer, tuple(brief.facts.items())


def _mark(violation: Violation) -> Mark:
    return Mark(violation.rule, violation.severity, violation.start, violation.end, violation.detail)


Write = Callable[[Brief, int], str]
"""(masked brief, seed) → text with stand-ins for the names."""
T = TypeVar("T")
_TRIES = 2  # texts of one kind; the shield refuses so few that hardly two in a row are
_log = structlog.get_logger("serving.engine.models")

WARM_UP = Brief(
    "sms", OfferTerms(0.1), Sender("Northwind", "Northwind", ("northwind.example",), "https://northwind.example/u")
)
"""What is written to nobody when a bundle begins to serve: loading and compiling take longer than a customer waits."""


class Unwritten(Exception):  # noqa: N818 - what became of it
    """No message of the model's; the reason completes "message_template:"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Models:
    """The writers of the bundles that serve."""

    def __init__(self, settings: Settings, metrics: Metrics, load: "Callable[[Served], Write] | None" = None) -> None:
        """`load` makes a bundle's writer, by default its own."""
        self._settings, self._metrics = settings, metrics
        self._load = load or (lambda served: writer(served.bundle))
        self._lock = threading.Lock()
        self._texts: OrderedDict[Hashable, str] = OrderedDict()
        self._known: OrderedDict[Hashable, Message | Unwritten] = OrderedDict()
        self._asked: dict[Hashable, Future[str]] = {}
        self._queue: queue.Queue[tuple[Hashable, Served, Brief] | None] = queue.Queue(settings.message_queue_size)
        self._writers: dict[str, Write] = {}
        self._thread = threading.Thread(target=self._run, name="messages", daemon=True)
        self._started = False

    def start(self) -> None:
        """Starts the thread."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the message it is at; those that wait come to nothing, and their templates stand."""
        if self._started:
            with self._lock:
                self._asked.clear()
            while True:
                try:
                    self._queue.get_nowait()
                except queue.Empty:
                    break
            self._queue.put(None)

    def warm(self, served: "Served") -> None:
        """Asks the bundle's model for one message to nobody, unless it has been loaded; returns at once."""
        if not served.bundle.writes or served.id in self._writers:
            return
        started = time.perf_counter()

        def tell(written: Future[str]) -> None:
            if not written.cancelled() and written.exception() is None:  # what failed has been logged
                _log.info("the language model is compiled", seconds=round(time.perf_counter() - started, 1))

        with contextlib.suppress(Unwritten):  # the queue is full: the first of its own messages compiles it
            self._ask((served.id, WARM_UP.prompt()), served, WARM_UP).add_done_callback(tell)

    def cached(self, served: "Served", brief: Brief) -> Message | Unwritten | None:
        """What the model's text for such a brief comes to; None if it was not asked yet."""
        if not served.bundle.writes:
            return Unwritten("no_language_model")
        key = (served.id, key_of(brief))
        with self._lock:
            if (known := _recent(self._known, key)) is not None:
                return known
            text = _recent(self._texts, (served.id, brief.prompt()))
        return None if text is None else self._message(served, brief, text)

    async def write(self, served: "Served", brief: Brief) -> Message:
        """The model's message, passed by the shield. Raises Unwritten."""
        found = self.cached(served, brief)
        if found is None:
            future = asyncio.wrap_future(self._ask((served.id, brief.prompt()), served, brief))
            try:
                text = await asyncio.wait_for(asyncio.shield(future), self._settings.message_deadline_ms / 1000)
            except TimeoutError:
                future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it now
                raise Unwritten("deadline") from None
            found = await asyncio.to_thread(self._message, served, brief, text)
        if isinstance(found, Unwritten):
            raise found
        return found

    def _ask(self, key: Hashable, served: "Served", brief: Brief) -> Future[str]:
        """One question for all who want the same text."""
        with self._lock:
            if (asked := self._asked.get(key)) is not None:
                return asked
            future: Future[str] = Future()
            try:
                self._queue.put_nowait((key, served, brief))
            except queue.Full:
                raise Unwritten("queue_full") from None
            self._asked[key] = future
        self._metrics.queue("messages", self._queue.qsize())
        return future

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            key, served, brief = task
            try:
                found: str | Unwritten = self._written(served, brief)
            except Unwritten as unwritten:
                found = unwritten
            with self._lock:
                future = self._asked.pop(key, None)
                if not isinstance(found, Unwritten):
                    self._keep(self._texts, key, found)
            if future is not None:
                future.set_exception(found) if isinstance(found, Unwritten) else future.set_result(found)

    def _written(self, served: "Served", brief: Brief) -> str:
        try:
            if served.id not in self._writers:
                self._writers[served.id] = self._load(served)
            return self._passing(served, brief)
        except (RetentionJaxError, RuntimeError, ValueError, OSError, MemoryError) as error:
            _log.error("the language model failed", bundle=served.id[:12], exc_info=error)
            raise Unwritten("model_failed") from None

    def _passing(self, served: "Served", brief: Brief) -> str:
        """The first text that passes with these names, or the last try, which `_message` judges as all that is sent."""
        write, masked = self._writers[served.id], brief.mask()
        for attempt in range(_TRIES - 1):
            text = write(masked, _seed(served.id, brief, attempt))
            if served.rules is None:
                return text
            verdict = shield.check(brief.fill(text), brief, served.rules, by="model")
            if verdict.passed:
                return text
            self._metrics.shield_blocks(verdict.blocking)
        return write(masked, _seed(served.id, brief, _TRIES - 1))

    def _message(self, served: "Served", brief: Brief, text: str) -> Message | Unwritten:
        """The model's `text` with its names, as the shield judges it; kept for the next time."""
        if served.rules is None:
            return Unwritten("no_shield")
        found: Message | Unwritten
        try:
            found = checked(brief.fill(text), "model", brief, served.rules)
        except Blocked as blocked:
            self._metrics.shield_blocks(blocked.rules)
            found = Unwritten(f"blocked:{blocked.rules[0]}")
        with self._lock:
            self._keep(self._known, (served.id, key_of(brief)), found)
        return found

    def _keep(self, cache: OrderedDict[Hashable, T], key: Hashable, value: T) -> None:
        cache[key] = value
        while len(cache) > self._settings.message_cache_size:
            cache.popitem(last=False)


def _recent(cache: OrderedDict[Hashable, T], key: Hashable) -> T | None:
    """The value of `key`, which is the last to be dropped now."""
    if key in cache:
        cache.move_to_end(key)
    return cache.get(key)


def _seed(bundle_id: str, brief: Brief, attempt: int) -> int:
    """The same in every process, so that one brief is written alike everywhere; below 2³¹."""
    text = f"{bundle_id} {attempt} {brief.prompt()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
