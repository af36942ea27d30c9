"""What people set: campaigns, consent, the kill switch, the bundles that serve, API keys.

API keys are `rj_<key id>_<secret>`, of which the ledger keeps the id and a hash of the secret. The hash is one SHA-256,
and that is right here: the secret is 256 bits from the system's random source, so nobody can try them through, however
fast the hash; slow, salted hashes are for passwords, which people choose. What is stored cannot be turned back into a
key, and the comparison takes the same time wherever the first difference lies.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import msgspec

from retentionjax.decide.draws import HOLDOUT, check
from serving.ledger import outcomes
from serving.ledger.types import (
    ApiKey,
    BudgetExceeded,
    Campaign,
    Change,
    Consent,
    ConsentStatus,
    DesignFixed,
    KillSwitch,
    LedgerError,
    Role,
    Slots,
)
from serving.ledger.views import CampaignView, Look, allowed_switch
from serving.moments import EARLIEST, SHOWN_SECONDS

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
_PAUSE = "UPDATE campaigns SET paused_at = ? WHERE campaign_id = ? AND paused_at IS NULL"
_RESUME = "UPDATE campaigns SET paused_at = NULL WHERE campaign_id = ?"
_DESIGN = "INSERT INTO designs (campaign_id, number, set_at, holdout, pilot) VALUES (?, ?, ?, ?, ?)"
_SET_DESIGN = "UPDATE campaigns SET design = ? WHERE campaign_id = ?"
_PLACE = """
    INSERT INTO customers (customer_id, time_zone, region) VALUES (?, ?, ?)
    ON CONFLICT (customer_id) DO UPDATE SET time_zone = COALESCE(excluded.time_zone, customers.time_zone),
        region = COALESCE(excluded.region, customers.region)"""
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
_CHANGES = "SELECT changed_at, who, what, value, was FROM changes ORDER BY changed_at DESC LIMIT ?"
_CREATE_KEY = "INSERT INTO api_keys (key_id, name, role, secret_sha256, created_at) VALUES (?, ?, ?, ?, ?)"
_REVOKE_KEY = "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL"
_USED_KEY = "UPDATE api_keys SET last_used_at = ? WHERE key_id = ? AND (last_used_at IS NULL OR last_used_at < ?)"


def put_campaign(tx: Look, campaign: Campaign) -> None:
    """Makes or changes a campaign; who was drawn already keeps her arm.

    Raises BudgetExceeded for a budget below what is spent and reserved, and LedgerError for a new start once there
    are decisions, whose days it would move; the present one as answers show it is none. DesignFixed and ConfigError for
    a hold-out or pilot that cannot be.
    """
    existing = tx.rows(_CAMPAIGN, campaign.campaign_id)
    if existing:
        used, starts_at, has_decisions = existing[0]
        if campaign.budget_micros < used:
            raise BudgetExceeded(f"budget_micros is {campaign.budget_micros}; spent and reserved are {used} already")
        if has_decisions and abs(campaign.starts_at - starts_at) >= SHOWN_SECONDS:
            raise LedgerError(f"starts_at is {campaign.starts_at}; decisions count their days from {starts_at} already")
        campaign = replace(campaign, starts_at=starts_at) if has_decisions else campaign
    tx.run(
        _PUT_CAMPAIGN,
        campaign.campaign_id,
        campaign.budget_micros,
        campaign.starts_at,
        campaign.horizon_days,
        campaign.customers_expected,
        campaign.salt or secrets.token_hex(8),
    )
    if campaign.paused is not None:
        tx.run(*((_PAUSE, tx.now) if campaign.paused else (_RESUME,)), campaign.campaign_id)
    before = tx.campaign(campaign.campaign_id) if existing else None
    _put_design(tx, campaign, before)
    tx.campaign(campaign.campaign_id)  # what is remembered of it is so no more


def _put_design(tx: Look, campaign: Campaign, before: CampaignView | None) -> None:
    """Adds the campaign's design where it is another than `before`; None: the campaign is new."""
    holdout = HOLDOUT if campaign.holdout is None else campaign.holdout
    pilot = campaign.pilot
    if before is not None:
        holdout = before.holdout if campaign.holdout is None else holdout
        pilot = pilot or before.pilot
        _check_fixed(campaign, before, tx.now)
    check(holdout, pilot)
    if before is not None and (holdout, pilot) == (before.holdout, before.pilot):
        return
    number = 0 if before is None else before.design + 1
    text = None if pilot is None else msgspec.json.encode(pilot).decode()
    tx.run(_DESIGN, campaign.campaign_id, number, tx.now, holdout, text)
    tx.run(_SET_DESIGN, number, campaign.campaign_id)


def _check_fixed(campaign: Campaign, before: CampaignView, now: float) -> None:
    """What customers were drawn by stays: salt, arms, and a pilot's end once it has come and is no slip."""
    if campaign.salt not in (None, before.salt):
        raise DesignFixed("salt", f"{before.salt}: customers are drawn by it")
    if before.pilot is None or campaign.pilot in (None, before.pilot):
        return
    if campaign.pilot.arms != before.pilot.arms:
        raise DesignFixed("pilot.arms", "as they are: customers are drawn to them; another campaign may have others")
    if now >= before.pilot.ends_at >= EARLIEST.timestamp():
        raise DesignFixed("pilot", "as it is: it is over; another campaign may have another")


def consent(look: Look, customer_id: str) -> tuple[Consent, ...]:
    """Consent of a customer, a channel each; empty where nothing was ever said."""
    return tuple(Consent(*row) for row in look.rows(_CONSENT, customer_id))


def set_consent(
    tx: Look, customer_id: str, channel: str, status: ConsentStatus, *, source: str, at: float | None = None
) -> int:
    """Consent given or taken back `at` a time, now by default; contacts not yet sent are cancelled unless granted.
    Micros given back. What she has said later, on this channel, stays."""
    if status not in get_args(ConsentStatus):
        raise LedgerError(f"status is {status!r}; allowed: {', '.join(get_args(ConsentStatus))}")
    at = tx.now if at is None else min(at, tx.now)
    if any(each.channel == channel and at < each.changed_at <= tx.now for each in consent(tx, customer_id)):
        return 0
    return outcomes.record_consent(tx, customer_id, channel, status, at, source)


def set_place(tx: Look, customer_id: str, *, time_zone: str | None = None, region: str | None = None) -> None:
    """Remembers a customer's IANA time zone and ISO 3166 region, which the caller has checked; None leaves what is."""
    tx.run(_PLACE, customer_id, time_zone, region)


def set_kill_switch(tx: Look, value: KillSwitch) -> None:
    """Sets the kill switch."""
    tx.run(_SET_SWITCH, "kill_switch", allowed_switch(value), tx.now)


def touch(tx: Look) -> None:
    """Writes something that means nothing: whether the ledger takes writes shows when the transaction ends."""
    tx.run(_SET_SWITCH, "touched", str(tx.now), tx.now)


def slots(look: Look) -> Slots:
    """Which bundles serve."""
    found = look.rows(_SWITCH, "slots")
    return msgspec.json.decode(found[0][0], type=Slots) if found else Slots()


def set_slots(tx: Look, value: Slots) -> None:
    """Sets which bundles serve. Raises LedgerError for a weight outside 0 to 1."""
    if not 0.0 <= value.canary_weight <= 1.0:
        raise LedgerError(f"canary_weight is {value.canary_weight}; allowed: 0 to 1")
    tx.run(_SET_SWITCH, "slots", msgspec.json.encode(value).decode(), tx.now)


def api_keys(look: Look) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    return [ApiKey(*row) for row in look.rows(_KEYS)]


def authenticate(look: Look, token: str) -> ApiKey | None:
    """The key that `token` is, if there is one and it is not revoked."""
    shaped = _SHAPE.fullmatch(token)
    found = look.rows(_KEY, shaped[1]) if shaped else []
    if not shaped or not found or not hmac.compare_digest(bytes(found[0][6]), _hash(shaped[2])):
        return None
    key = ApiKey(*found[0][:6])
    return key if key.revoked_at is None else None


def create_key(tx: Look, name: str, role: Role) -> tuple[ApiKey, str]:
    """A new API key, and its token, which is kept nowhere."""
    if role not in get_args(Role):
        raise LedgerError(f"role is {role!r}; allowed: {', '.join(get_args(Role))}")
    if not name.strip() or not name.isprintable():  # lists of keys and of changes have a line for each
        raise LedgerError(f"name is {name!r}; allowed: one line of printable text that is not empty")
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    tx.run(_CREATE_KEY, key_id, name, role, _hash(secret), tx.now)
    return ApiKey(key_id, name, role, tx.now, None, None), f"rj_{key_id}_{secret}"


def revoke_key(tx: Look, key_id: str) -> None:
    """Ends a key. Raises LedgerError if there is none of that id; revoking twice is once."""
    if not tx.run(_REVOKE_KEY, tx.now, key_id) and not tx.rows(_KEY, key_id):
        raise LedgerError(f"there is no API key {key_id!r}")


def used_keys(tx: Look, used: Mapping[str, float]) -> None:
    """Remembers when keys were used last."""
    tx.many(_USED_KEY, [(at, key_id, at) for key_id, at in used.items()])


def session_key(look: Look, key_id: str, session: str) -> ApiKey | None:
    """The live key of a console session; None where it was revoked or the session was ended."""
    found = look.rows(_SESSION_KEY, key_id, session)
    return ApiKey(*found[0]) if found else None


def end_session(tx: Look, session: str, ends_at: float) -> None:
    """Ends a console session that would have lasted until `ends_at`; forgets those that are over by now."""
    tx.run(_OVER_SESSIONS, tx.now)
    tx.run(_END_SESSION, session, ends_at)


def lease(tx: Look, name: str, holder: str, seconds: float) -> bool:
    """Whether `holder` alone may do what `name` says, for so long from now. Not while another's lease lasts, which is
    never longer than `seconds` from now, though it was taken before the clock was set back."""
    found = tx.rows(_SWITCH, f"lease {name}")
    if found:
        held, until = found[0][0].rsplit(" ", 1)
        if held != holder and tx.now < float(until) <= tx.now + seconds:
            return False
    tx.run(_SET_SWITCH, f"lease {name}", f"{holder} {tx.now + seconds}", tx.now)
    return True


def changed(tx: Look, who: str, what: str, value: str, was: str = "") -> None:
    """Remembers who set what to `value`, and what it `was` before."""
    tx.run(
        "INSERT INTO changes (changed_at, who, what, value, was) VALUES (?, ?, ?, ?, ?)", tx.now, who, what, value, was
    )


def changes(look: Look, limit: int) -> list[Change]:
    """Who set what, latest first."""
    return [Change(*row) for row in look.rows(_CHANGES, limit)]


_SHAPE = re.compile(r"rj_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
