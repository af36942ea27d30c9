"""Messages by the bundle's language model: a thread and a queue of its own, a cache, and a deadline.

Whatever does not come in time, or does not pass the shield, leaves the checked template in place, and says why.
"""

import asyncio
import hashlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import structlog

from retentionjax.bundle.language import writer
from retentionjax.errors import RetentionJaxError
from retentionjax.shield import Brief
from serving.engine.answer import Message
from serving.engine.served import Served
from serving.engine.templates import Blocked, checked, key_of
from serving.observability.metrics import Metrics
from serving.settings import Settings

Write = Callable[[Brief, int], str]
_log = structlog.get_logger("serving.engine.models")


class Unwritten(Exception):  # noqa: N818 - what became of it
    """No message of the model's; the reason completes "message_template:"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Models:
    """The writers of the bundles that serve."""

    def __init__(self, settings: Settings, metrics: Metrics, load: Callable[[Served], Write] | None = None) -> None:
        """`load` makes a bundle's writer, by default its own."""
        self._settings, self._metrics = settings, metrics
        self._load = load or (lambda served: writer(served.bundle))
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Message | Unwritten] = OrderedDict()
        self._asked: dict[Hashable, Future[Message]] = {}
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

    def cached(self, served: Served, brief: Brief) -> Message | Unwritten | None:
        """What the model wrote for such a brief before; None if it was not asked yet."""
        if not served.bundle.writes:
            return Unwritten("no_language_model")
        key = (served.id, key_of(brief))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    async def write(self, served: Served, brief: Brief) -> Message:
        """The model's message, passed by the shield. Raises Unwritten."""
        known = self.cached(served, brief)
        if isinstance(known, Unwritten):
            raise known
        if known is not None:
            return known
        future = asyncio.wrap_future(self._ask((served.id, key_of(brief)), served, brief))
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._settings.message_deadline_ms / 1000)
        except TimeoutError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it now
            raise Unwritten("deadline") from None

    def _ask(self, key: Hashable, served: Served, brief: Brief) -> Future[Message]:
        """One question for all who want the same message."""
        with self._lock:
            if (asked := self._asked.get(key)) is not None:
                return asked
            future: Future[Message] = Future()
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
                found: Message | Unwritten = self._written(served, brief)
            except Unwritten as unwritten:
                found = unwritten
            with self._lock:
                future = self._asked.pop(key, None)
                if not isinstance(found, Unwritten) or found.reason.startswith("blocked"):
                    self._known[key] = found
                    while len(self._known) > self._settings.message_cache_size:
                        self._known.popitem(last=False)
            if future is not None:
                future.set_exception(found) if isinstance(found, Unwritten) else future.set_result(found)

    def _written(self, served: Served, brief: Brief) -> Message:
        try:
            if served.id not in self._writers:
                self._writers[served.id] = self._load(served)
            text = self._writers[served.id](brief, _seed(served.id, brief))
        except (RetentionJaxError, RuntimeError, ValueError, OSError, MemoryError) as error:
            _log.error("the language model failed", bundle=served.id[:12], exc_info=error)
            raise Unwritten("model_failed") from None
        if served.rules is None:
            raise Unwritten("no_shield")
        try:
            return checked(text, "model", brief, served.rules)
        except Blocked as blocked:
            self._metrics.shield_blocks(blocked.rules)
            raise Unwritten(f"blocked:{blocked.rules[0]}") from None


def _seed(bundle_id: str, brief: Brief) -> int:
    """The same message for the same brief, whichever process writes it; below 2³¹."""
    text = f"{bundle_id} {brief.prompt()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
