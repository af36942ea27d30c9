"""A look at the ledger: campaigns, customers and the kill switch as a decision sees them, by six statements for a whole
micro-batch. What else can be read, `ledger.Reader` lists.

Days are those of the asking campaign: a contact of any campaign counts on the day floor((send_at − starts_at)/86400).
A day that is past or today is executed, a later one pending; cancelled contacts never were. A customer without an
assignment is drawn here, by a hash; `ledger` writes it with her first decision.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from retentionjax.decide.draws import Arm, Pilot, arm, place
from serving.ledger.database import Connection, Row, texts
from serving.ledger.types import DAY, ConsentStatus, KillSwitch, LedgerError

_CAMPAIGNS = """
    SELECT c.campaign_id, c.budget_micros, c.spent_micros, c.reserved_micros, c.starts_at, c.horizon_days,
        c.customers_expected, c.salt, c.design, d.holdout, c.paused_at, d.pilot
    FROM campaigns c JOIN designs d ON d.campaign_id = c.campaign_id AND d.number = c.design
    WHERE c.campaign_id IN (SELECT value FROM json_each(?))"""
_SWITCH = "SELECT value FROM switches WHERE name = 'kill_switch'"
_PILOT_MONEY = """
    SELECT CAST(COALESCE(SUM(reserved_micros + spent_micros), 0) AS BIGINT) FROM contacts
    WHERE campaign_id = ? AND pilot = 1"""
_CUSTOMERS = """
    SELECT customer_id, time_zone, region, churned_at FROM customers
    WHERE customer_id IN (SELECT value FROM json_each(?))"""
_CONSENTS = """
    SELECT customer_id, channel, status FROM consents WHERE customer_id IN (SELECT value FROM json_each(?))"""
_DRAWN = """
    SELECT a.customer_id, a.campaign_id, b.churn_probability, a.arm, a.pilot_arm, a.propensity,
        CASE WHEN a.acted_at IS NULL THEN 0 ELSE 1 END
    FROM assignments a LEFT JOIN baselines b ON b.customer_id = a.customer_id AND b.campaign_id = a.campaign_id
    WHERE a.customer_id IN (SELECT value FROM json_each(?))"""
_CONTACTS = """
    SELECT customer_id, campaign_id, offer, send_at, accepted_at, reserved_micros + spent_micros, effect_days
    FROM contacts WHERE state <> 'cancelled' AND customer_id IN (SELECT value FROM json_each(?))"""


class Assignment(msgspec.Struct, frozen=True):
    """The arm that a campaign drew for a customer."""

    arm: Arm
    acted: bool = False
    """Whether a pilot's arm was carried out."""
    recorded: bool = True
    """False: it is recorded with the first decision."""


_BY_POLICY = Assignment(Arm("policy", None, 1.0), recorded=False)


class CustomerView(msgspec.Struct, frozen=True):  # as a frozen dataclass it would cost four times as much to make
    """What the ledger knows of a customer, as a campaign sees it today."""

    customer_id: str
    campaign_id: str
    consent: Mapping[str, ConsentStatus]
    """Consent by channel; a channel that is not there is unknown, see `consent_for`."""
    time_zone: str | None = None
    """IANA name."""
    region: str | None = None
    """ISO 3166."""
    contacts_days_ago: tuple[int, ...] = ()
    """Executed contacts of this and other campaigns in days of this campaign, ascending; 0 is today."""
    pending_offer: str | None = None
    """Name of the offer of the contact that is planned for a later day."""
    pending_days: int = 0
    """Days until it is sent; 0 without one."""
    running_offer: str | None = None
    """Name of the offer accepted last, while it protects."""
    protection_days_left: int = 0
    """Today included; `effect_days` on the day it was accepted, 0 without one."""
    account_used_micros: int = 0
    """Contact costs, and full costs of offers reserved or committed, in this campaign."""
    baseline_churn_probability: float | None = None
    """The first score of the customer in this campaign; None before it."""
    churned: bool = False
    assignment: Assignment = _BY_POLICY

    def consent_for(self, channel: str) -> ConsentStatus:
        """Consent to be contacted by `channel`."""
        return self.consent.get(channel, "unknown")


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign and its money. spent + reserved ≤ budget, always."""

    campaign_id: str
    budget_micros: int
    spent_micros: int
    """Contact costs and accepted discounts of answered, expired and accepted contacts."""
    reserved_micros: int
    """Full costs of contacts that are planned or unanswered."""
    starts_at: float
    horizon_days: int
    customers_expected: int
    salt: str = ""
    design: int = 0
    """Number of the design that the two below are."""
    holdout: float = 0.0
    """Share of its customers that it never contacts."""
    paused_at: float | None = None
    """Since when it contacts nobody; None: it does."""
    pilot: Pilot | None = None

    @property
    def left_micros(self) -> int:
        """Budget that is neither spent nor reserved."""
        return self.budget_micros - self.spent_micros - self.reserved_micros

    def day(self, at: float) -> int:
        """Campaign day of a moment; negative before the start, `horizon_days` or more after the end."""
        return int((at - self.starts_at) // DAY)


class Look:
    """One look at the ledger: a snapshot, in which nothing changes. Of one thread."""

    def __init__(self, connection: Connection, now: float) -> None:
        self.rows, self.stream = connection.rows, connection.stream
        self.run, self.many, self.insert = connection.run, connection.many, connection.insert
        self.columns, self.tables = connection.columns, connection.tables
        self._campaigns: dict[str, CampaignView] = {}
        self._seen: dict[tuple[str, str], CustomerView] = {}
        self.now = now
        """When it began, by the ledger's clock."""

    def campaigns(self, ids: Iterable[str]) -> dict[str, CampaignView]:
        """Those of `ids` that there are, with their money as it is now."""
        found = {
            row[0]: CampaignView(*(*row[:-1], None if row[-1] is None else read_pilot(row[-1])))
            for row in self.rows(_CAMPAIGNS, texts(set(ids)))
        }
        self._campaigns.update(found)
        return found

    def campaign(self, campaign_id: str) -> CampaignView | None:
        """A campaign; None if there is none of that id."""
        return self.campaigns([campaign_id]).get(campaign_id)

    def pilot_micros(self, campaign_id: str) -> int:
        """What contacts of a campaign's pilot have reserved and spent."""
        used: int = self.rows(_PILOT_MONEY, campaign_id)[0][0]
        return used

    def kill_switch(self) -> KillSwitch:
        """What decides: the policy unless it was set, the baseline, or nobody (never contact). Raises LedgerError for
        an unknown value."""
        found = self.rows(_SWITCH)
        return allowed_switch(found[0][0]) if found else "policy"

    def customers(self, ids: Sequence[str], campaign_ids: Sequence[str], now: float) -> list[CustomerView]:
        """Views aligned with the input; who is not known gets a blank one, consent unknown.

        Raises LedgerError for a campaign that is not there.
        """
        known = self._known(campaign_ids)
        wanted = texts(dict.fromkeys(ids))
        facts = {row[0]: row for row in self.rows(_CUSTOMERS, wanted)}
        consents: dict[str, dict[str, ConsentStatus]] = defaultdict(dict)
        for customer, channel, status in self.rows(_CONSENTS, wanted):
            consents[customer][channel] = status
        contacts: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows(_CONTACTS, wanted):
            contacts[row[0]].append(row)
        drawn = {(row[0], row[1]): row for row in self.rows(_DRAWN, wanted)}
        views = []
        for customer, campaign in zip(ids, campaign_ids, strict=True):
            _, time_zone, region, churned_at = facts.get(customer, (customer, None, None, None))
            if (found := drawn.get((customer, campaign))) is not None:
                baseline, assignment = found[2], _recorded(found[3:])
            else:
                baseline, assignment = None, Assignment(draw(known[campaign], customer, now), recorded=False)
            views.append(
                CustomerView(
                    customer_id=customer,
                    campaign_id=campaign,
                    consent=consents.get(customer, {}),
                    time_zone=time_zone,
                    region=region,
                    baseline_churn_probability=baseline,
                    churned=churned_at is not None,
                    assignment=assignment,
                    **(_history(contacts[customer], known[campaign], now) if customer in contacts else {}),
                )
            )
        self._seen.update(zip(zip(ids, campaign_ids, strict=True), views, strict=True))
        return views

    def _known(self, ids: Iterable[str]) -> dict[str, CampaignView]:
        """The campaigns seen, all of `ids` among them. Raises LedgerError for one that is not there."""
        wanted = set(ids)
        if unseen := wanted - self._campaigns.keys():
            self.campaigns(unseen)
        if missing := wanted - self._campaigns.keys():
            raise LedgerError(f"there is no campaign {min(missing)!r}")
        return self._campaigns


@functools.lru_cache(maxsize=64)
def read_pilot(text: str) -> Pilot:
    """A pilot as `designs` keeps it."""
    return msgspec.json.decode(text, type=Pilot)


@functools.lru_cache(maxsize=1024)
def _recorded(found: tuple[Any, ...]) -> Assignment:
    """(arm, pilot_arm, propensity, acted) as an assignment; there are few that differ."""
    *words, acted = found
    return Assignment(Arm(*words), acted=bool(acted))


def draw(campaign: CampaignView, customer_id: str, at: float) -> Arm:
    """The arm of a customer whom the campaign first decides about at `at`."""
    pilot = campaign.pilot if campaign.pilot is not None and at < campaign.pilot.ends_at else None
    return arm(place(campaign.salt, customer_id), campaign.holdout, pilot)


def allowed_switch(value: KillSwitch) -> KillSwitch:
    """The value. Raises LedgerError for an unknown one."""
    if value not in get_args(KillSwitch):
        raise LedgerError(f"kill switch is {value!r}; allowed: {', '.join(get_args(KillSwitch))}")
    return value


def _history(contacts: Sequence[Row], campaign: CampaignView, now: float) -> dict[str, Any]:
    """The fields of a view that its contacts decide."""
    today = campaign.day(now)
    ahead = sorted((campaign.day(row[3]) - today, row[2]) for row in contacts)
    pending = next(((days, offer) for days, offer in ahead if days > 0), (0, None))
    running, days_left = _running(contacts, campaign, today)
    return {
        "contacts_days_ago": tuple(sorted(-days for days, _ in ahead if days <= 0)),
        "pending_offer": pending[1],
        "pending_days": pending[0],
        "running_offer": running,
        "protection_days_left": days_left,
        "account_used_micros": sum(row[5] for row in contacts if row[1] == campaign.campaign_id),
    }


def _running(contacts: Sequence[Row], campaign: CampaignView, today: int) -> tuple[str | None, int]:
    """(name, days of protection left) of the offer accepted last: an acceptance replaces the offer that runs."""
    accepted = [(row[4], row[3], row[2], row[6]) for row in contacts if row[4] is not None]
    if not accepted:
        return None, 0
    accepted_at, _, offer, effect_days = max(accepted)
    days_left = effect_days - (today - campaign.day(accepted_at))
    return (offer, days_left) if days_left > 0 else (None, 0)
