"""What people set: campaigns, consent, the kill switch, the bundles that serve, API keys."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import get_args

import msgspec

from retentionjax.decide.draws import HOLDOUT, check
from serving.ledger import keys, outcomes, views
from serving.ledger.database import Connection
from serving.ledger.errors import BudgetExceeded, DesignFixed, LedgerError
from serving.ledger.types import (
    ApiKey,
    BundleSlot,
    Campaign,
    CampaignView,
    Change,
    Consent,
    ConsentStatus,
    KillSwitch,
    Role,
    Slots,
)

_PUT_CAMPAIGN = """
    INSERT INTO campaigns (campaign_id, budget_micros, starts_at, horizon_days, customers_expected, salt)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (campaign_id) DO UPDATE SET budget_micros = excluded.budget_micros, starts_at = excluded.starts_at,
        horizon_days = excluded.horizon_days, customers_expected = excluded.customers_expected"""
_CAMPAIGN = """
    SELECT spent_micros + reserved_micros, starts_at,
        (SELECT d.decided_at FROM decisions d WHERE d.campaign_id = campaigns.campaign_id
            ORDER BY d.decided_at LIMIT 1) IS NOT NULL
    FROM campaigns WHERE campaign_id = ?"""
_DESIGN = "INSERT INTO designs (campaign_id, number, set_at, holdout, pilot) VALUES (?, ?, ?, ?, ?)"
_SET_DESIGN = "UPDATE campaigns SET design = ? WHERE campaign_id = ?"
_TIME_ZONE = """
    INSERT INTO customers (customer_id, time_zone) VALUES (?, ?)
    ON CONFLICT (customer_id) DO UPDATE SET time_zone = excluded.time_zone"""
_CONSENT = "SELECT channel, status, changed_at, source FROM consents WHERE customer_id = ? ORDER BY channel"
_SWITCH = "SELECT value FROM switches WHERE name = ?"
_SET_SWITCH = """
    INSERT INTO switches (name, value, changed_at) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at"""
_KEYS = "SELECT key_id, name, role, created_at, last_used_at, revoked_at FROM api_keys ORDER BY created_at, key_id"
_KEY = """
    SELECT key_id, name, role, created_at, last_used_at, revoked_at, secret_sha256 FROM api_keys WHERE key_id = ?"""
_SESSION_KEY = """
    SELECT key_id, name, role, created_at, last_used_at, revoked_at FROM api_keys
    WHERE key_id = ? AND revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM ended_sessions WHERE session = ?)"""
_END_SESSION = "INSERT INTO ended_sessions (session, ends_at) VALUES (?, ?) ON CONFLICT (session) DO NOTHING"
_OVER_SESSIONS = "DELETE FROM ended_sessions WHERE ends_at < ?"
_CHANGES = "SELECT changed_at, who, what, value FROM changes ORDER BY changed_at DESC LIMIT ?"
_CREATE_KEY = "INSERT INTO api_keys (key_id, name, role, secret_sha256, created_at) VALUES (?, ?, ?, ?, ?)"
_REVOKE_KEY = "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL"
_USED_KEY = "UPDATE api_keys SET last_used_at = ? WHERE key_id = ? AND (last_used_at IS NULL OR last_used_at < ?)"


def put_campaign(connection: Connection, campaign: Campaign, now: float) -> None:
    """Makes a campaign or changes it; who was drawn already keeps her arm.

    Raises BudgetExceeded for a budget below what is spent and reserved, and LedgerError for a new start once there
    are decisions, whose days it would move; DesignFixed and ConfigError for a hold-out or pilot that cannot be.
    """
    existing = connection.rows(_CAMPAIGN, campaign.campaign_id)
    if existing:
        used, starts_at, has_decisions = existing[0]
        if campaign.budget_micros < used:
            raise BudgetExceeded(f"budget_micros is {campaign.budget_micros}; spent and reserved are {used} already")
        if has_decisions and campaign.starts_at != starts_at:
            raise LedgerError(f"starts_at is {campaign.starts_at}; decisions count their days from {starts_at} already")
    connection.run(
        _PUT_CAMPAIGN,
        campaign.campaign_id,
        campaign.budget_micros,
        campaign.starts_at,
        campaign.horizon_days,
        campaign.customers_expected,
        campaign.salt or secrets.token_hex(8),
    )
    before = None if not existing else views.campaigns(connection, [campaign.campaign_id])[campaign.campaign_id]
    _put_design(connection, campaign, before, now)


def _put_design(connection: Connection, campaign: Campaign, before: CampaignView | None, now: float) -> None:
    """Adds the campaign's design where it is another than `before`; None: the campaign is new."""
    holdout = HOLDOUT if campaign.holdout is None else campaign.holdout
    pilot = campaign.pilot
    if before is not None:
        holdout = before.holdout if campaign.holdout is None else holdout
        pilot = pilot or before.pilot
        _check_fixed(campaign, before, now)
    check(holdout, pilot)
    if before is not None and (holdout, pilot) == (before.holdout, before.pilot):
        return
    number = 0 if before is None else before.design + 1
    text = None if pilot is None else msgspec.json.encode(pilot).decode()
    connection.run(_DESIGN, campaign.campaign_id, number, now, holdout, text)
    connection.run(_SET_DESIGN, number, campaign.campaign_id)


def _check_fixed(campaign: Campaign, before: CampaignView, now: float) -> None:
    """What customers were drawn by stays: salt, arms, and the end of a pilot once it has come."""
    if campaign.salt not in (None, before.salt):
        raise DesignFixed("salt", f"{before.salt}: customers are drawn by it")
    if before.pilot is None or campaign.pilot in (None, before.pilot):
        return
    if campaign.pilot.arms != before.pilot.arms:
        raise DesignFixed("pilot.arms", "as they are: customers are drawn to them; another campaign may have others")
    if now >= before.pilot.ends_at:
        raise DesignFixed("pilot", "as it is: it is over; another campaign may have another")


def consent(connection: Connection, customer_id: str) -> tuple[Consent, ...]:
    """Consent of a customer, a channel each; empty where nothing was ever said."""
    return tuple(Consent(*row) for row in connection.rows(_CONSENT, customer_id))


def set_consent(
    connection: Connection, customer_id: str, channel: str, status: ConsentStatus, source: str, now: float
) -> int:
    """Writes consent given or taken back now; the micros that cancelled contacts gave back."""
    if status not in get_args(ConsentStatus):
        raise LedgerError(f"status is {status!r}; allowed: {', '.join(get_args(ConsentStatus))}")
    return outcomes.set_consent(connection, customer_id, channel, status, now, source, now)


def set_time_zone(connection: Connection, customer_id: str, time_zone: str | None) -> None:
    """Remembers a customer's IANA time zone, which the caller has checked."""
    connection.run(_TIME_ZONE, customer_id, time_zone)


def set_kill_switch(connection: Connection, value: KillSwitch, now: float) -> None:
    """Sets the kill switch."""
    connection.run(_SET_SWITCH, "kill_switch", views.allowed_switch(value), now)


def touch(connection: Connection, now: float) -> None:
    """Writes the time into a row that nobody reads."""
    connection.run(_SET_SWITCH, "touched", str(now), now)


def slots(connection: Connection) -> Slots:
    """Which bundles serve."""
    found = connection.rows(_SWITCH, "slots")
    if not found:
        return Slots()
    stored = json.loads(found[0][0])
    return Slots(
        _slot(stored["active"]), _slot(stored["canary"]), float(stored["canary_weight"]), _slot(stored["shadow"])
    )


def set_slots(connection: Connection, value: Slots, now: float) -> None:
    """Sets which bundles serve. Raises LedgerError for a weight outside 0 to 1."""
    if not 0.0 <= value.canary_weight <= 1.0:
        raise LedgerError(f"canary_weight is {value.canary_weight}; allowed: 0 to 1")
    connection.run(_SET_SWITCH, "slots", json.dumps(asdict(value)), now)


def api_keys(connection: Connection) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    return [ApiKey(*row) for row in connection.rows(_KEYS)]


def authenticate(connection: Connection, token: str) -> ApiKey | None:
    """The key that `token` is, if there is one and it is not revoked."""
    presented = keys.read(token)
    if presented is None:
        return None
    found = connection.rows(_KEY, presented.key_id)
    if not found or not keys.same(bytes(found[0][6]), presented.secret_sha256):
        return None
    key = ApiKey(*found[0][:6])
    return key if key.revoked_at is None else None


def create_key(connection: Connection, name: str, role: Role, now: float) -> tuple[ApiKey, str]:
    """A new key, and the token that is shown this once."""
    if role not in get_args(Role):
        raise LedgerError(f"role is {role!r}; allowed: {', '.join(get_args(Role))}")
    minted = keys.mint()
    connection.run(_CREATE_KEY, minted.key_id, name, role, minted.secret_sha256, now)
    return ApiKey(minted.key_id, name, role, now, None, None), minted.token


def revoke_key(connection: Connection, key_id: str, now: float) -> None:
    """Ends a key. Raises LedgerError if there is none of that id; revoking twice is once."""
    if not connection.run(_REVOKE_KEY, now, key_id) and not connection.rows(_KEY, key_id):
        raise LedgerError(f"there is no API key {key_id!r}")


def used_keys(connection: Connection, used: Mapping[str, float]) -> None:
    """Remembers when keys were used last."""
    connection.many(_USED_KEY, [(at, key_id, at) for key_id, at in used.items()])


def session_key(connection: Connection, key_id: str, session: str) -> ApiKey | None:
    """The live key of a console session; None where it was revoked or the session was ended."""
    found = connection.rows(_SESSION_KEY, key_id, session)
    return ApiKey(*found[0]) if found else None


def end_session(connection: Connection, session: str, ends_at: float, now: float) -> None:
    """Ends a console session; forgets those that are over by now."""
    connection.run(_OVER_SESSIONS, now)
    connection.run(_END_SESSION, session, ends_at)


def lease(connection: Connection, name: str, holder: str, seconds: float, now: float) -> bool:
    """Takes or keeps a lease; False while another holder's lasts, which is never longer than `seconds` from now,
    though it was taken before the clock was set back."""
    found = connection.rows(_SWITCH, f"lease {name}")
    if found:
        held, until = found[0][0].rsplit(" ", 1)
        if held != holder and now < float(until) <= now + seconds:
            return False
    connection.run(_SET_SWITCH, f"lease {name}", f"{holder} {now + seconds}", now)
    return True


def changed(connection: Connection, who: str, what: str, value: str, now: float) -> None:
    """Remembers who set what."""
    connection.run("INSERT INTO changes (changed_at, who, what, value) VALUES (?, ?, ?, ?)", now, who, what, value)


def changes(connection: Connection, limit: int) -> list[Change]:
    """Who set what, latest first."""
    return [Change(*row) for row in connection.rows(_CHANGES, limit)]


def _slot(stored: dict[str, str] | None) -> BundleSlot | None:
    return BundleSlot(**stored) if stored else None
