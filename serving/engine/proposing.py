"""Wordings that the bundle's language model proposes, beside the decisions: none of them waits for it.

For each kind of message that is sent and has no wording yet the model is asked for some, and for some that speak to
each reason to leave that the company names; the shield drops what may not be sent, and what is left waits in the ledger
for somebody to approve, or is approved at once where the settings say so.
"""

import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from retentionjax.bundle.language import proposer
from retentionjax.decide import variants
from retentionjax.decide.variants import Kind, WordingAuthor
from serving.ledger import Ledger
from serving.observability.metrics import Metrics
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.engine.slots import Served

PER_KIND = 8
_log = structlog.get_logger("serving.engine")


class Proposer:
    """A thread that asks the model; `want` is called by the writer's."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        metrics: Metrics,
        load: "Callable[[Served], WordingAuthor] | None" = None,
    ) -> None:
        """`load` gives a bundle's author, by default its own language model."""
        self._ledger, self._settings, self._metrics = ledger, settings, metrics
        self._load = load or (lambda served: WordingAuthor(*proposer(served.bundle)))
        self._wanted: set[tuple[str, Kind]] = set()
        self._queue: queue.SimpleQueue[tuple[Served, Kind] | None] = queue.SimpleQueue()
        self._authors: dict[str, WordingAuthor] = {}
        self._thread = threading.Thread(target=self._run, name="proposer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the kind it is at; those that wait are wanted again after the next start."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put(None)

    def want(self, served: "Served", kind: Kind) -> None:
        """A message of this kind was sent; each kind is looked at once while the process lasts. Returns at once."""
        if not served.bundle.writes or served.bundle.message is None or (served.id, kind) in self._wanted:
            return
        for each in kind.with_angles(served.bundle.message):
            self._wanted.add((served.id, each))
            self._queue.put((served, each))

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            served, kind = task
            try:
                self._propose(served, kind)
            except Exception as error:  # noqa: BLE001 - whatever a model raises: it is logged, counted, and tried again
                self._wanted.discard((served.id, kind))
                self._metrics.degradation("proposals_failed")
                _log.error("no wordings could be proposed", bundle=served.id[:12], kind=kind, exc_info=error)

    def _propose(self, served: "Served", kind: Kind) -> None:
        bundle = served.bundle
        with self._ledger.read() as reader:
            known = [each.variant for each in reader.variants() if each.variant.kind == kind]
        if bundle.message is None or bundle.rules is None or known:
            return
        if served.id not in self._authors:
            self._authors[served.id] = self._load(served)
        made = variants.propose(
            kind,
            bundle.said_offer(kind.offer),
            bundle.message,
            bundle.rules,
            self._authors[served.id],
            count=PER_KIND,
            seed=_seed(served.id, kind),
        )
        who = f"model of {served.id[:12]}"
        with self._ledger.transaction() as tx:
            new = tx.propose_variants(made.variants, bundle.rules.version, who, approver=self._settings.approve)
            tx.changed(who, f"wordings of {kind}", f"{new} proposed")
        self._metrics.shield_blocks(tuple(made.refused.elements()))
        _log.info("wordings are proposed", kind=kind, proposed=new, refused=dict(made.refused))


def _seed(bundle_id: str, kind: Kind) -> int:
    """The same in every process, so that all of them propose the same texts; below 2³¹."""
    return int.from_bytes(hashlib.sha256(f"{bundle_id} {kind}".encode()).digest()[:4]) >> 1
