"""Bugs to be planted in a copy of the service, each of another kind: what the simulation is worth shows by them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """A change to one file of `serving/`."""

    name: str
    file: str
    right: str
    wrong: str


BUGS = (
    Bug(
        "a price is rounded down",
        "engine/situations.py",
        "whole - (-fraction // (_MONTH * MICROS))",
        "whole + (fraction // (_MONTH * MICROS))",
    ),
    Bug(
        "a reservation takes the offer's cost only",
        "ledger/ledger.py",
        "amounts[row.campaign_id] += row.reserve_micros",
        "amounts[row.campaign_id] += row.reserve_micros - row.contact_cost_micros",
    ),
    Bug(
        "a commit does not wait for the disk",
        "ledger/database.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = NORMAL"',
    ),
    Bug(
        "a commit that failed is answered as if it had not",
        "engine/steps.py",
        "with self._ledger.transaction() as tx:",
        "with contextlib.suppress(LedgerUnavailable), self._ledger.transaction() as tx:",
    ),
    Bug(
        "an Idempotency-Key is not compared with its request",
        "engine/steps.py",
        "elif before.request_digest == job.ask.idempotency[2]:",
        "elif before:",
    ),
    Bug(
        "the cooldown is a campaign's own",
        "ledger/views.py",
        "for row in contacts)\n    pending",
        "for row in contacts if row[1] == campaign.campaign_id)\n    pending",
    ),
    Bug(
        "consent is looked up for the bundle's channel",
        "engine/situations.py",
        "each.view.consent_for(each.ask.channel or served.channel)",
        "each.view.consent_for(served.channel)",
    ),
    Bug(
        "what no longer fitted the budget is forgotten",
        "engine/writer.py",
        "            self._inbox.put_back(made.again)\n",
        "",
    ),
    Bug(
        "what was sent is cancelled when the clock is set back",
        "ledger/outcomes.py",
        " AND sent_at IS NULL AND listed_at IS NULL\n        AND (send_at",
        "\n        AND (send_at",
    ),
    Bug(
        "a message that comes in two pieces is lost",
        "engine/wire.py",
        "            if len(self._heard) < end:\n                break",
        "            if len(self._heard) < end:\n                self._heard.clear()\n                break",
    ),
    Bug(
        "the policy contacts whom a pilot has tried",
        "engine/situations.py",
        "elif each.pilot is not None and assignment.acted:",
        "elif not assignment:",
    ),
    Bug(
        "a duplicate outcome counts again after a restart",
        "ledger/outcomes.py",
        "{(row[0], row[1]): row[2] for row in tx.rows(_REPORTED, ids)}",
        "{}",
    ),
    Bug(
        "the kill switch is looked at once",
        "engine/steps.py",
        "Terms(tx.kill_switch(),",
        'Terms(self.__dict__.setdefault("switch", tx.kill_switch()),',
    ),
)
