"""The engine's refusals as problems."""

from retentionjax.decide.facts import MISSING, FactFault
from serving.engine.contract import (
    CampaignNotRunning,
    DeadlineExceeded,
    EngineLost,
    KeyReused,
    NoCampaign,
    NotRunning,
    Overloaded,
    WrongFacts,
)
from serving.ledger import LedgerUnavailable
from serving.problems import FieldError, Problem, field_error, invalid, not_found, unavailable

_SOON = 1.0  # seconds


def problem_of(error: Exception) -> Problem:
    """What to answer for `error`. Raises `error` if it is none of the engine's."""
    if isinstance(error, WrongFacts):
        fields = [_of_fact(each) for each in error.faults]
        return invalid("Facts do not fit the bundle's schema.", *fields)
    if isinstance(error, NoCampaign):
        return not_found("campaign", "campaign_id", str(error))
    if isinstance(error, CampaignNotRunning):
        detail = f"The campaign is {error}." if str(error) == "over" else "The campaign has not begun."
        return Problem(409, "campaign-not-running", "The campaign does not run now", detail)
    if isinstance(error, KeyReused):
        detail = "This Idempotency-Key was used in the last 24 hours with another request."
        named = field_error("Idempotency-Key", allowed="a new key for a new request")
        return Problem(422, "idempotency-key-reused", "The key belongs to another request", detail, [named])
    return _of_state(error)


def _of_state(error: Exception) -> Problem:
    if isinstance(error, Overloaded):
        return unavailable("overloaded", "Too many decisions wait. Nothing was written.", error.retry_after)
    if isinstance(error, DeadlineExceeded):
        return unavailable("deadline-exceeded", "It was not decided in time. Nothing was written.", _SOON)
    if isinstance(error, NotRunning):
        return unavailable("not-running", "The service starts or stops. Nothing was written.", _SOON)
    if isinstance(error, EngineLost):
        detail = "The engine ended before it answered. Repeat with the same Idempotency-Key: it may have been written."
        return unavailable("engine-lost", detail, _SOON)
    if isinstance(error, LedgerUnavailable):
        detail = "The ledger cannot be reached, is full or busy. Nothing was written; repeating is safe."
        return unavailable("ledger-unavailable", detail, _SOON)
    raise error


def _of_fact(fault: FactFault) -> FieldError:
    place = f"facts.{fault.field}"
    if fault.wrong == MISSING:
        return field_error(place, allowed=fault.allowed)
    return field_error(place, fault.value, fault.allowed)
