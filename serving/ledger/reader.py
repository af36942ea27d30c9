"""A look at the ledger that stays what it is, whatever is written meanwhile."""

from collections.abc import Iterator, Sequence

from serving.ledger import administration, audit, erasure, following, lifting, records, views, wordings
from serving.ledger.database import Connection
from serving.ledger.following import Followed
from serving.ledger.lifting import CampaignRecord
from serving.ledger.types import (
    ApiKey,
    CampaignView,
    Change,
    Consent,
    CustomerLedger,
    CustomerView,
    DailySpend,
    DecisionRecord,
    Drawn,
    DueContact,
    KillSwitch,
    RecentDecision,
    Slots,
)
from serving.ledger.wordings import Approved, StoredVariant, Version


class Reader:
    """One look at the ledger: a snapshot, in which nothing changes. Of one thread."""

    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._campaigns: dict[str, CampaignView] = {}
        self._seen: dict[tuple[str, str], CustomerView] = {}
        self.now = now
        """When it began, by the ledger's clock."""

    def campaigns(self, ids: Sequence[str]) -> dict[str, CampaignView]:
        """Those of `ids` that there are, with their money as it is now."""
        found = views.campaigns(self._connection, ids)
        self._campaigns.update(found)
        return found

    def pilot_micros(self, campaign_id: str) -> int:
        """What contacts of a campaign's pilot have reserved and spent."""
        return views.pilot_micros(self._connection, campaign_id)

    def assignments(self, campaign_id: str) -> Drawn:
        """How many customers a campaign has drawn, and to what."""
        return records.assignments(self._connection, campaign_id)

    def campaign(self, campaign_id: str) -> CampaignView | None:
        """A campaign; None if there is none of that id."""
        return self.campaigns([campaign_id]).get(campaign_id)

    def daily_spend(self, campaign_id: str) -> list[DailySpend]:
        """A campaign's contacts and money by campaign day, days without a contact left out."""
        return records.daily_spend(self._connection, campaign_id)

    def daily_answers(self, campaign_id: str) -> dict[int, tuple[int, int]]:
        """Campaign day → (accepted, declined) of the contacts sent on it."""
        return records.daily_answers(self._connection, campaign_id)

    def customers(self, ids: Sequence[str], campaign_ids: Sequence[str], now: float) -> list[CustomerView]:
        """Views aligned with the input; who is not known gets a blank one, consent unknown.

        Raises LedgerError for a campaign that is not there.
        """
        self._know(campaign_ids)
        found = views.customers(self._connection, ids, campaign_ids, now, self._campaigns)
        self._seen.update(zip(zip(ids, campaign_ids, strict=True), found, strict=True))
        return found

    def decision(self, decision_id: str) -> DecisionRecord | None:
        """A recorded decision; None if there is none of that id."""
        return records.decision(self._connection, decision_id)

    def recent(self, limit: int) -> list[RecentDecision]:
        """The latest decisions, newest first; erased customers left out."""
        return records.recent(self._connection, limit)

    def due(self, now: float, since: float, limit: int) -> list[DueContact]:
        """Contacts due between `since` and `now` that may be sent and were not, the longest due first."""
        return records.due(self._connection, now, since, limit)

    def campaign_ids(self, limit: int) -> list[str]:
        """The campaigns there are, latest start first."""
        return records.campaign_ids(self._connection, limit)

    def customer_ledger(self, customer_id: str) -> CustomerLedger | None:
        """All that is held of a customer; None if nothing is."""
        return records.customer_ledger(self._connection, customer_id)

    def campaign_record(self, campaign_id: str) -> CampaignRecord:
        """All that is known of a campaign's customers, by which its effect is measured. See `lifting`."""
        return lifting.campaign_record(self._connection, campaign_id, self.now)

    def variants(self) -> list[StoredVariant]:
        """All wordings of messages, by kind and age, with what customers did by now."""
        return wordings.stored(self._connection, self.now)

    def approved_variants(self, known: Version | None) -> Approved | None:
        """The wordings that may be sent; None where they are what is `known` already, by its version."""
        return wordings.approved(self._connection, known, self.now)

    def consent(self, customer_id: str) -> tuple[Consent, ...]:
        """Consent of a customer by channel; empty where nothing was ever said."""
        return administration.consent(self._connection, customer_id)

    def kill_switch(self) -> KillSwitch:
        """What decides: "policy" unless it was set."""
        return views.kill_switch(self._connection)

    def slots(self) -> Slots:
        """Which bundles serve."""
        return administration.slots(self._connection)

    def api_keys(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        return administration.api_keys(self._connection)

    def authenticate(self, token: str) -> ApiKey | None:
        """The key that `token` is; None if it is none, or revoked."""
        return administration.authenticate(self._connection, token)

    def session_key(self, key_id: str, session: str) -> ApiKey | None:
        """The live key of a console session; None where it was revoked or the session was ended."""
        return administration.session_key(self._connection, key_id, session)

    def changes(self, limit: int) -> list[Change]:
        """Who set what, latest first."""
        return administration.changes(self._connection, limit)

    def past_retention(self, retention_days: float, limit: int) -> list[str]:
        """Ids of about so many decisions that `purge` may delete. Raises LedgerError for too short a period."""
        return erasure.past_retention(self._connection, self.now, retention_days, limit)

    def people_past_retention(self, retention_days: float, limit: int) -> list[tuple[str, str, str]]:
        """What tells of customers and of no campaign any more, for `forget`; see `erasure`."""
        return erasure.people_past_retention(self._connection, self.now, retention_days, limit)

    def audit(self, *, cooldown_days: int = 0) -> list[str]:
        """What is inconsistent, a line each; empty if nothing is. With 0 the cooldown is not looked at."""
        return audit.audit(self._connection, cooldown_days)

    def follow(self, since: float) -> Iterator[Followed]:
        """Decisions carried out at `since` or later with what followed, by customer and time. See `following`."""
        return following.follow(self._connection, since)

    def _know(self, campaign_ids: Sequence[str]) -> None:
        if missing := set(campaign_ids) - self._campaigns.keys():
            self.campaigns(sorted(missing))
