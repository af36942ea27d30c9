"""Wordings of messages: proposed, approved or refused by somebody, and what customers did with each."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from retentionjax.decide.variants import NOBODY, Answers, Author, Kind, Stratum, Variant
from serving.ledger.administration import changed
from serving.ledger.database import Row
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
    SELECT variant_id, offer, channel, tone, angle, text, author, despite, state, rules_version, proposed_at,
        proposed_by, decided_at, decided_by
    FROM variants ORDER BY offer, channel, tone, angle, proposed_at, variant_id"""
_PROPOSE = """
    INSERT INTO variants (variant_id, offer, channel, tone, angle, text, author, despite, state, rules_version,
        proposed_at, proposed_by, replaces)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'proposed', ?, ?, ?, ?) ON CONFLICT (variant_id) DO NOTHING"""
_DECIDE = "UPDATE variants SET state = ?, decided_at = ?, decided_by = ? WHERE variant_id = ?"
_STATE = "SELECT state, replaces, despite, proposed_by FROM variants WHERE variant_id = ?"


def _counted(which: str) -> str:
    """What customers did by stratum and wording, of the contacts `c` that meet a condition; its parameters come after
    `ANSWER_SECONDS`, twice."""
    return f"""
        SELECT c.campaign_id, c.send_day / 7, c.variant_choices, c.variant_id,
            COUNT(*), COUNT(a.decision_id), COUNT(o.decision_id)
        FROM contacts c
        LEFT JOIN outcomes a ON a.decision_id = c.decision_id AND a.kind = 'accepted' AND a.status = 'applied'
            AND a.happened_at <= c.send_at + ?
        LEFT JOIN outcomes o ON o.decision_id = c.decision_id AND o.kind = 'opted_out'
            AND o.happened_at <= c.send_at + ?
        WHERE c.variant_id <> '' AND c.variant_propensity < 1 AND c.state <> 'cancelled' AND {which}
        GROUP BY c.campaign_id, c.send_day / 7, c.variant_choices, c.variant_id"""  # noqa: S608 - words from here


_ANSWERS = _counted("c.send_at <= ?")
_PURGED = "SELECT campaign_id, week, variant_choices, variant_id, sent, accepted, opted_out FROM purged_answers"
_KEEP = f"""
    INSERT INTO purged_answers (campaign_id, week, variant_choices, variant_id, sent, accepted, opted_out)
    {_counted("c.decision_id IN (SELECT value FROM json_each(?))")}
    ON CONFLICT (campaign_id, week, variant_choices, variant_id) DO UPDATE SET
        sent = purged_answers.sent + excluded.sent, accepted = purged_answers.accepted + excluded.accepted,
        opted_out = purged_answers.opted_out + excluded.opted_out"""  # noqa: S608 - words from here
_VERSION = "SELECT variant_id FROM variants WHERE state = 'approved' ORDER BY variant_id"
Version = tuple[tuple[str, ...], int]
"""Ids of the approved wordings, and the hour up to which answers count."""


@dataclass(frozen=True, slots=True)
class StoredVariant:
    """A wording as the ledger keeps it."""

    variant: Variant
    state: VariantState
    rules_version: str
    """Version of the shield's rules that passed it."""
    proposed_at: float
    proposed_by: str
    decided_at: float | None
    decided_by: str | None
    answers: Answers
    template: Answers
    """What customers did with the template of the same kind."""
    matched: tuple[Answers, Answers]
    """Both among customers who could have been sent either, see `comparing.matched`."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A wording that may be sent; `variant` None: the template."""

    variant_id: str
    variant: Variant | None
    answers: Answers
    """Answers of customers alike for all wordings of the kind, see `comparing.comparable`."""


class Approved(NamedTuple):
    """What may be sent."""

    version: Version
    """Another one whenever other wordings are approved, and every hour."""
    wordings: Mapping[Kind, Sequence[Wording]]
    """Wordings by kind, the template first, with what customers did until the last full hour."""


def propose(
    tx: Look,
    variants: Sequence[Variant],
    rules_version: str,
    who: str,
    *,
    approver: str = "person",
    replaces: str = "",
) -> int:
    """Keeps wordings for somebody to decide about; how many of them are new.

    Where the approver is `SHIELD`, those that nobody has decided about are approved at once. The wording `replaces` is
    retired once one of them is approved.
    """
    rows = [
        (each.id, each.kind.offer, each.kind.channel, each.kind.tone, each.kind.angle, each.text, each.author,
         " ".join(each.despite), rules_version, tx.now, who, replaces)
        for each in variants
    ]  # fmt: skip
    new = tx.many(_PROPOSE, rows) if rows else 0
    if approver == SHIELD:
        for variant in variants:
            decide(tx, variant.id, "approved", approver, was="proposed")
    return new


def decide(tx: Look, variant_id: str, state: VariantState, who: str, was: VariantState | None = None) -> bool:
    """Approves, refuses or retires a wording, and remembers who; nothing where it is no longer in the state `was`.

    Raises LedgerError if there is none of that id, for another state, and where whoever proposed a wording despite a
    rule would approve it: that takes two.
    """
    allowed = tuple(each for each in get_args(VariantState) if each != "proposed")
    if state not in allowed:
        raise LedgerError(f"state is {state!r}; allowed: {', '.join(allowed)}")
    found = tx.rows(_STATE, variant_id)
    if not found:
        raise LedgerError(f"there is no variant {variant_id!r}")
    before, replaces, despite, proposed_by = found[0]
    if was not in (None, before):
        return False
    if state == "approved" and despite and proposed_by == who:
        raise LedgerError(f"variant {variant_id!r} overrules {despite}; allowed: approval by another than {who}")
    tx.run(_DECIDE, state, tx.now, who, variant_id)
    changed(tx, who, f"variant {variant_id}", state, before)
    if state == "approved" and replaces and tx.rows(_STATE, replaces):
        decide(tx, replaces, "retired", who, was="approved")
    return True


def stored(look: Look) -> list[StoredVariant]:
    """All wordings of messages, by kind and age, with what customers did by now."""
    from retentionjax.decide.comparing import matched  # loads numpy, which a command's help does without

    strata = _strata(look, look.now)
    found = []
    for variant_id, *words, state, version, proposed_at, proposed_by, decided_at, decided_by in look.rows(_ROWS):
        variant = _variant(*words)
        template = variant.kind.template_id
        found.append(
            StoredVariant(
                variant, state, version, proposed_at, proposed_by, decided_at, decided_by,
                _total(strata, variant_id), _total(strata, template), matched(strata, variant_id, template),
            )
        )  # fmt: skip
    return found


def approved(look: Look, known: Version | None) -> Approved | None:
    """The wordings that may be sent; None where they are what is `known` already, by its version."""
    ids = tuple(row[0] for row in look.rows(_VERSION))
    version = ids, int(look.now // COUNTED_EVERY) if ids else 0
    if version == known:
        return None
    from retentionjax.decide.comparing import comparable

    strata = _strata(look, look.now // COUNTED_EVERY * COUNTED_EVERY)
    found: dict[Kind, list[Variant | None]] = {}
    for _, *words, state in (row[:9] for row in look.rows(_ROWS)):
        if state == "approved":
            variant = _variant(*words)
            found.setdefault(variant.kind, [None]).append(variant)
    wordings = {}
    for kind, variants in found.items():
        names = [kind.template_id if each is None else each.id for each in variants]
        wordings[kind] = [Wording(*each) for each in zip(names, variants, comparable(strata, names), strict=True)]
    return Approved(version, wordings)


def outcomes(look: Look, campaign_id: str) -> Iterator[tuple[object, ...]]:
    """What a campaign's customers did after each wording, purged messages too: see `decide.wording_outcomes`."""
    known = {variant_id: words[:5] for variant_id, *words in look.rows(_ROWS)}
    for campaign, week, choices, variant_id, *numbers in _counts(look, look.now):
        if campaign == campaign_id and variant_id in known:  # of which the template, which has many texts, is none
            yield week, choices, variant_id, *known[variant_id], *numbers


def _variant(offer: str, channel: str, tone: str, angle: str, text: str, author: Author, despite: str) -> Variant:
    kind = Kind(offer, channel, tone, angle)  # type: ignore[arg-type]  # as they were written
    return Variant(kind, text, author, tuple(despite.split()))


def keep(tx: Look, decisions: str) -> None:
    """Adds what customers did after decisions that are about to be purged (a JSON list) to what is kept."""
    tx.run(_KEEP, ANSWER_SECONDS, ANSWER_SECONDS, decisions)


def _strata(look: Look, until: float) -> list[Stratum]:
    """What customers did after messages sent by `until`, purged ones too: see `decide.comparing`."""
    found: dict[tuple[str, int, str], dict[str, Answers]] = {}
    for campaign, week, choices, variant_id, *numbers in _counts(look, until):
        stratum = found.setdefault((campaign, week, choices), {})
        stratum[variant_id] = stratum.get(variant_id, NOBODY).plus(Answers(*numbers))
    return list(found.values())


def _counts(look: Look, until: float) -> list[Row]:
    """Campaign, week, choices, wording, and how many were sent it by `until`, accepted, opted out; purged ones too."""
    return [*look.rows(_ANSWERS, ANSWER_SECONDS, ANSWER_SECONDS, until - ANSWER_SECONDS), *look.rows(_PURGED)]


def _total(strata: Iterable[Stratum], variant_id: str) -> Answers:
    return functools.reduce(Answers.plus, (each.get(variant_id, NOBODY) for each in strata), NOBODY)
