"""A campaign as the files that company.yaml reads: its customers, whom it contacted, who left; and the part of
company.yaml that reads them.

- `customers.csv`: one row a customer with the facts of her first decision in the campaign, and the charge then, under
  the name of the fact that it is, so that a bundle learned from the files asks for the same facts.
- `contacts.csv`: one assignment a row. `group` says by what it was made: `holdout`, once, on the day she was drawn;
  `pilot`, on the day her arm was carried out; `waiting`, once, on the first day on which there was a choice, where the
  policy contacted nobody before the pilot's end (the gate held it back): chance left her alone, so she is a control;
  else `policy`, each day on which there was a choice. `propensity` is that of the arm, in the first three groups of all
  who are in them; else that of the action. A contact that was cancelled before it was sent was not accepted.
- `departures.csv`: when she left, and until when that is known: by what was reported, at least to her assignment. The
  groups `pilot` and `waiting` are followed to the pilot's end, after which the policy may contact them.
- `wordings.csv`, if it is asked for: what customers did after each wording; the reward model learns from it.

The policy chooses by scores that change from day to day and that the files do not hold, so what follows its contacts
does not tell what they do: the snippet leaves its rows out. Decisions of a shadow, erased customers, and those who had
left before the first decision about them, as was reported since, are not in them. A text that a spreadsheet would
calculate, as `=HYPERLINK(…)`, has an apostrophe before it; all others, as `-` and `+1 line`, are as they were.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from etils import epath

from retentionjax import storage
from retentionjax.company.offers import NONE
from retentionjax.decide.draws import Pilot
from retentionjax.decide.wording_outcomes import COLUMNS
from retentionjax.errors import ConfigError
from serving.ledger import wordings
from serving.ledger.views import CampaignView, Look, read_pilot
from serving.moments import utc

WHAT = ("customers", "contacts", "departures")
WORDINGS = "wordings"
SNIPPET = "company.yaml"
CHARGE = "charge_per_30_days"
_SNAPSHOT = "first_decision"
WAITING = "waiting"
_CONTACTS = ("customer_id", "assigned_at", "arm", "propensity", "accepted", "group")

_FIRST = """
    SELECT d.customer_id, d.decided_at, d.monthly_charge, d.basis FROM decisions d
    JOIN assignments a ON a.customer_id = d.customer_id AND a.campaign_id = d.campaign_id
    WHERE d.campaign_id = ? AND d.executed = 1 AND d.basis IS NOT NULL
    ORDER BY d.customer_id, d.decided_at, d.decision_id"""
_ASSIGNED = """
    SELECT d.customer_id, d.decided_at, d.action, d.offer, d.mask, d.propensities, c.state,
        a.arm, a.pilot_arm, a.assigned_at, a.acted_at, g.holdout, g.pilot, u.churned_at
    FROM decisions d
    JOIN assignments a ON a.customer_id = d.customer_id AND a.campaign_id = d.campaign_id
    JOIN designs g ON g.campaign_id = a.campaign_id AND g.number = a.design
    LEFT JOIN contacts c ON c.decision_id = d.decision_id
    LEFT JOIN customers u ON u.customer_id = d.customer_id
    WHERE d.campaign_id = ? AND d.executed = 1 AND d.mask IS NOT NULL AND d.basis IS NOT NULL
    ORDER BY d.customer_id, d.decided_at, d.decision_id"""
_FOLLOWED = """
    SELECT a.customer_id, COALESCE(a.acted_at, a.assigned_at), a.arm, u.churned_at, u.observed_until FROM assignments a
    LEFT JOIN customers u ON u.customer_id = a.customer_id
    WHERE a.campaign_id = ? AND EXISTS (SELECT 1 FROM decisions d WHERE d.customer_id = a.customer_id
        AND d.campaign_id = a.campaign_id AND d.basis IS NOT NULL AND d.executed = 1)
    ORDER BY a.customer_id"""

_FIRST_CONTACT = """
    SELECT MIN(d.decided_at) FROM decisions d
    JOIN assignments a ON a.customer_id = d.customer_id AND a.campaign_id = d.campaign_id
    WHERE d.campaign_id = ? AND d.executed = 1 AND d.offer IS NOT NULL AND a.arm = 'policy'"""
_FIRST_OF_THE_GONE = """
    SELECT d.customer_id, u.churned_at, MIN(d.decided_at) FROM decisions d
    JOIN customers u ON u.customer_id = d.customer_id
    WHERE d.campaign_id = ? AND d.executed = 1 AND d.basis IS NOT NULL AND u.churned_at IS NOT NULL
    GROUP BY d.customer_id, u.churned_at"""


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision with the arm of its customer, as `_ASSIGNED` gives it."""

    customer_id: str
    decided_at: float
    action: int
    offer: str | None
    mask: bytes
    propensities: bytes
    state: str | None
    arm: str
    pilot_arm: str | None
    assigned_at: float
    acted_at: float | None
    holdout: float
    pilot: str | None
    churned_at: float | None


def export(look: Look, folder: epath.Path, campaign_id: str, what: Sequence[str]) -> dict[str, int]:
    """Writes the files named in `what` into `folder`, each whole or not at all; how many rows each has.

    Raises ConfigError for a campaign that is not there.
    """
    campaign = look.campaign(campaign_id)
    if campaign is None:
        raise ConfigError(f"campaign is {campaign_id!r}; allowed: one that the ledger has")
    gone, waits = _gone_before(look, campaign_id), _policy_waits(look, campaign)
    facts, charge = _facts(look, campaign_id)
    tables: Mapping[str, tuple[Sequence[str], Iterator[Sequence[Any]]]] = {
        "customers": (
            ("customer_id", _SNAPSHOT, charge, *(name for name in facts if name != charge)),
            _customers(look, campaign_id, [name for name in facts if name != charge], gone),
        ),
        "contacts": (_CONTACTS, _contacts(look, campaign_id, waits)),
        "departures": (("customer_id", "left_on", "observed_until"), _departures(look, campaign, waits, gone)),
        WORDINGS: (COLUMNS, wordings.outcomes(look, campaign_id)),
    }
    counts = {name: _write(folder / f"{name}.csv", *tables[name]) for name in tables if name in what}
    storage.write_text(folder / SNIPPET, _snippet(campaign, facts, charge, counts))
    return counts


def _write(path: epath.Path, columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> int:
    count = 0
    with storage.new_file(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow(map(_harmless, row))
            count += 1
    return count


# Only with one of the last characters is it more than a sum; some spreadsheets begin a cell after each of the first.
_FORMULA = re.compile(r"(^|[;,\t\r\n])(\s*[=+\-@\uff1d\uff0b\uff0d\uff20])(?=.*[(|!])", re.DOTALL)


def _harmless(cell: Any) -> Any:
    """The cell as no spreadsheet runs it: a caller's facts may be what a customer typed."""
    return _FORMULA.sub(r"\1'\2", cell) if isinstance(cell, str) else cell


def _first(look: Look, campaign_id: str) -> Iterator[tuple[str, float, float, Mapping[str, Any]]]:
    """(customer, when, charge, facts) of the first decision about each."""
    before = None
    for customer, at, charge, basis in look.stream(_FIRST, campaign_id):
        if customer != before:
            before = customer
            yield customer, at, charge, msgspec.json.decode(basis)["facts"]


def _facts(look: Look, campaign_id: str) -> tuple[dict[str, bool], str]:
    """Names of the facts, and whether all that is known of each is numbers; the fact that is the charge of everybody,
    `CHARGE` where none is."""
    numeric: dict[str, bool] = {}
    charges: dict[str, bool] = {}
    for _, _, charge, facts in _first(look, campaign_id):
        for name, value in facts.items():
            is_number = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
            numeric[name] = numeric.get(name, True) and is_number
            charges[name] = charges.get(name, True) and value == charge
    return numeric, next((name for name, is_charge in charges.items() if is_charge and numeric[name]), CHARGE)


def _gone_before(look: Look, campaign_id: str) -> frozenset[str]:
    """Customers who had left before the first decision about them: no customers of this campaign."""
    found = look.stream(_FIRST_OF_THE_GONE, campaign_id)
    return frozenset(customer for customer, churned_at, first in found if _date(churned_at) < _date(first))


def _customers(look: Look, campaign_id: str, facts: Sequence[str], gone: frozenset[str]) -> Iterator[Sequence[Any]]:
    for customer, at, charge, known in _first(look, campaign_id):
        if customer in gone:
            continue
        yield customer, _date(at), charge, *(known.get(name) for name in facts)


def _contacts(look: Look, campaign_id: str, waits: bool) -> Iterator[Sequence[Any]]:
    """One assignment a customer and day: where there are several, the contact."""
    waiting = ""
    today: tuple[str, str] | None = None
    held: Sequence[Any] | None = None
    for found in look.stream(_ASSIGNED, campaign_id):
        decided = _Decided(*found)
        row = _assignment(decided, waits)
        if row is None:
            continue
        if row[-1] == WAITING:
            if row[0] == waiting:
                continue
            waiting = row[0]
        if held is not None and (row[0], row[1]) != today:
            yield held
            held = None
        if held is None or row[2] != NONE:
            held, today = row, (row[0], row[1])
    if held is not None:
        yield held


def _policy_waits(look: Look, campaign: CampaignView) -> bool:
    """Whether the policy contacted nobody while a pilot ran, so that its customers are controls of the pilot."""
    if campaign.pilot is None:
        return False
    ((first,),) = look.stream(_FIRST_CONTACT, campaign.campaign_id)
    return first is None or first >= campaign.pilot.ends_at


def _assignment(row: _Decided, waits: bool) -> Sequence[Any] | None:
    """A row of `contacts.csv`; None where nothing was drawn, or the customer had left, as was reported later."""
    arm, at = NONE if row.offer is None else row.offer, _date(row.decided_at)
    accepted = None if row.state in (None, "reserved") else int(row.state == "accepted")
    if row.churned_at is not None and at > _date(row.churned_at):
        return None
    if row.arm == "holdout":
        first = row.decided_at == row.assigned_at
        return (row.customer_id, at, NONE, _tried(row, waits), None, "holdout") if first else None
    if row.arm == "pilot" and row.decided_at == row.acted_at:
        return row.customer_id, at, arm, _tried(row, waits), accepted, "pilot"
    if int.from_bytes(row.mask, "little") == 1:  # to wait was all that was allowed
        return None
    if waits and row.arm == "policy" and (pilot := _pilot(row)) is not None and row.decided_at < pilot.ends_at:
        return row.customer_id, at, NONE, _tried(row, waits), None, WAITING
    propensity = float(np.frombuffer(row.propensities, "<f4")[row.action])
    return row.customer_id, at, arm, propensity, accepted, "policy"


def _tried(row: _Decided, waits: bool) -> float:
    """Probability of her arm, `none` in the hold-out, of all whom the campaign held out or tried when it drew her, and
    whom a policy that `waits` left alone."""
    if (pilot := _pilot(row)) is None:
        return 1.0
    share = pilot.share * dict(pilot.arms).get(row.pilot_arm or NONE, 0.0)
    left = 1 - pilot.share if waits else row.holdout
    alone = left if row.pilot_arm in (None, NONE) else 0.0
    return (share + alone) / (left + pilot.share)


def _pilot(row: _Decided) -> Pilot | None:
    """The pilot that ran when she was drawn."""
    pilot = None if row.pilot is None else read_pilot(row.pilot)
    return None if pilot is None or row.assigned_at >= pilot.ends_at else pilot


def _departures(look: Look, campaign: CampaignView, waits: bool, gone: frozenset[str]) -> Iterator[Sequence[Any]]:
    ends = campaign.pilot.ends_at if campaign.pilot is not None else None
    tried = ("pilot", "policy") if waits else ("pilot",)
    for customer, at, arm, churned_at, observed_until in look.stream(_FOLLOWED, campaign.campaign_id):
        if customer in gone:
            continue
        until = max(at, *(each for each in (churned_at, observed_until) if each is not None), at)
        if arm in tried and ends is not None and at < ends:
            until = max(at, min(until, ends))
        left = churned_at is not None and churned_at <= until
        yield customer, _date(churned_at) if left else None, _date(until)


def _date(at: float) -> str:
    """The day, UTC."""
    return utc(at).date().isoformat()


def _snippet(campaign: CampaignView, facts: Mapping[str, bool], charge: str, counts: Mapping[str, int]) -> str:
    quoted = {name: msgspec.json.encode(name).decode() for name in facts}
    numeric = ", ".join(quoted[name] for name, is_number in facts.items() if is_number)
    categorical = ", ".join(f"{quoted[name]}: infer" for name, is_number in facts.items() if not is_number)
    parts = {
        "customers": f"""\
customers:
  file: customers.csv
  id: customer_id
  charge: {quoted.get(charge, charge)}
  snapshot: {_SNAPSHOT}
  window_days: 30
  numeric: [{numeric}]
  categorical: {{{categorical}}}
  nullable: [{", ".join(each for name, each in quoted.items() if name != charge)}]
""",
        "contacts": """\
contacts:
  file: contacts.csv
  at: assigned_at
  offer: arm
  propensity: propensity
  accepted: accepted
  exclude: {group: "== policy"}  # chosen by scores that changed from day to day: they do not tell what a contact does
""",
        "departures": """\
departures: {file: departures.csv, left_on: left_on, observed_until: observed_until}
""",
    }
    head = (
        f"# What campaign {campaign.campaign_id} of the service knows; offers, limits and messages stay as they are.\n"
    )
    return head + "".join(parts[name] for name in WHAT if name in counts)
