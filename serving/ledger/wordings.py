"""Wordings of messages: proposed, approved or refused by somebody, and what customers did with each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from retentionjax.decide.variants import Answers, Author, Kind, Variant
from serving.ledger.administration import changed
from serving.ledger.types import DAY, LedgerError
from serving.ledger.views import Look

VariantState = Literal["proposed", "approved", "refused", "retired"]
"""`retired`: approved once, and found to be worse than the template by what customers did."""
SHIELD = "shield"
"""Who approved a wording that nobody read."""
COUNTED_EVERY = 3600.0
"""Seconds: what customers did counts from the next full hour on, so that all processes choose by the same numbers."""
ANSWER_SECONDS = 3 * DAY
"""A message counts once it was sent so long ago, by what its customer did until then."""

_ROWS = """
    SELECT variant_id, offer, channel, tone, text, author, state, rules_version, proposed_at, proposed_by,
        decided_at, decided_by
    FROM variants ORDER BY offer, channel, tone, proposed_at, variant_id"""
_PROPOSE = """
    INSERT INTO variants (variant_id, offer, channel, tone, text, author, state, rules_version, proposed_at,
        proposed_by)
    VALUES (?, ?, ?, ?, ?, ?, 'proposed', ?, ?, ?) ON CONFLICT (variant_id) DO NOTHING"""
_DECIDE = "UPDATE variants SET state = ?, decided_at = ?, decided_by = ? WHERE variant_id = ?"
_STATE = "SELECT state FROM variants WHERE variant_id = ?"
_ANSWERS = """
    SELECT c.variant_id, COUNT(*), COUNT(a.decision_id), COUNT(o.decision_id)
    FROM contacts c
    LEFT JOIN outcomes a ON a.decision_id = c.decision_id AND a.kind = 'accepted' AND a.status = 'applied'
        AND a.happened_at <= c.send_at + ?
    LEFT JOIN outcomes o ON o.decision_id = c.decision_id AND o.kind = 'opted_out' AND o.happened_at <= c.send_at + ?
    WHERE c.variant_id <> '' AND c.variant_propensity < 1 AND c.state <> 'cancelled' AND c.send_at <= ?
    GROUP BY c.variant_id"""
_VERSION = "SELECT variant_id FROM variants WHERE state = 'approved' ORDER BY variant_id"
_NOBODY = Answers(0, 0, 0)


Version = tuple[tuple[str, ...], int]
"""Ids of the approved wordings, and the hour up to which answers count."""


@dataclass(frozen=True, slots=True)
class StoredVariant:
    """A wording as the ledger keeps it."""

    variant: Variant
    state: VariantState
    rules_version: str
    """Of the shield's rules that passed it."""
    proposed_at: float
    proposed_by: str
    decided_at: float | None
    decided_by: str | None
    answers: Answers
    template: Answers
    """What customers did with the template of the same kind."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A wording that may be sent; `variant` None: the template."""

    variant_id: str
    variant: Variant | None
    answers: Answers


class Approved(NamedTuple):
    """What may be sent."""

    version: Version
    """Another one whenever other wordings are approved, and every hour."""
    wordings: Mapping[Kind, Sequence[Wording]]
    """By kind, the template first, with what customers did until the last full hour."""


def propose(tx: Look, variants: Sequence[Variant], rules_version: str, who: str, *, approver: str | None = None) -> int:
    """Keeps wordings for somebody to decide about; how many of them are new.

    An `approver` approves at once those that nobody has decided about.
    """
    rows = [
        (each.id, each.kind.offer, each.kind.channel, each.kind.tone, each.text, each.author,
         rules_version, tx.now, who)
        for each in variants
    ]  # fmt: skip
    new = tx.many(_PROPOSE, rows) if rows else 0
    if approver is not None:
        for variant in variants:
            decide(tx, variant.id, "approved", approver, was="proposed")
    return new


def decide(tx: Look, variant_id: str, state: VariantState, who: str, was: VariantState | None = None) -> bool:
    """Approves, refuses or retires a wording, and remembers who; nothing where it is no longer in the state `was`.

    Raises LedgerError if there is none of that id, or for another state.
    """
    allowed = tuple(each for each in get_args(VariantState) if each != "proposed")
    if state not in allowed:
        raise LedgerError(f"state is {state!r}; allowed: {', '.join(allowed)}")
    found = tx.rows(_STATE, variant_id)
    if not found:
        raise LedgerError(f"there is no variant {variant_id!r}")
    if was not in (None, found[0][0]):
        return False
    tx.run(_DECIDE, state, tx.now, who, variant_id)
    changed(tx, who, f"variant {variant_id}", state)
    return True


def stored(look: Look) -> list[StoredVariant]:
    """All wordings of messages, by kind and age, with what customers did by now."""
    answers = _answers(look, look.now)
    found = []
    for variant_id, *words, state, version, proposed_at, proposed_by, decided_at, decided_by in look.rows(_ROWS):
        variant = _variant(*words)
        ours, theirs = (answers.get(each, _NOBODY) for each in (variant_id, variant.kind.template_id))
        found.append(
            StoredVariant(variant, state, version, proposed_at, proposed_by, decided_at, decided_by, ours, theirs)
        )
    return found


def approved(look: Look, known: Version | None) -> Approved | None:
    """The wordings that may be sent; None where they are what is `known` already, by its version."""
    ids = tuple(row[0] for row in look.rows(_VERSION))
    version = ids, int(look.now // COUNTED_EVERY) if ids else 0
    if version == known:
        return None
    answers = _answers(look, look.now // COUNTED_EVERY * COUNTED_EVERY)
    found: dict[Kind, list[Wording]] = {}
    for variant_id, *words, state in (row[:7] for row in look.rows(_ROWS)):
        if state == "approved":
            variant = _variant(*words)
            template = variant.kind.template_id
            others = found.setdefault(variant.kind, [Wording(template, None, answers.get(template, _NOBODY))])
            others.append(Wording(variant_id, variant, answers.get(variant_id, _NOBODY)))
    return Approved(version, found)


def _variant(offer: str, channel: str, tone: str, text: str, author: Author) -> Variant:
    return Variant(Kind(offer, channel, tone), text, author)  # type: ignore[arg-type]  # as they were written


def _answers(look: Look, until: float) -> dict[str, Answers]:
    rows = look.rows(_ANSWERS, ANSWER_SECONDS, ANSWER_SECONDS, until - ANSWER_SECONDS)
    return {row[0]: Answers(*row[1:]) for row in rows}
