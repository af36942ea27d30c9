"""Figures of systems that write to the same held-out customers: shield, offer, reward, length, and the arena."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from retentionjax import shield
from retentionjax.data.messages import grammar
from retentionjax.language import arena, packing, reward, rule_judge, text_metrics
from retentionjax.language.hub import Model
from retentionjax.language.reward import RewardModel
from retentionjax.language.reward_evaluation import wilson
from retentionjax.language.rule_judge import Asked, mean_log_probs
from retentionjax.shield import Brief, Rules, Verdict
from retentionjax.shield.brief import SENDER

ROOM = {"sms": 160, "push": 178, "email": 600}
"""Characters a message has room for: one SMS, a lock screen, an e-mail that is read to its end."""


@dataclass(frozen=True, eq=False)
class Written:
    """Texts of one system, one a brief, with what is measured on each."""

    texts: Sequence[str]
    """Texts as written, with stand-ins for the names."""
    verdicts: Sequence[Verdict]
    """The shield's, on the texts with their names."""
    ended: Bool[np.ndarray, " briefs"]
    """Whether the text came to its end; one that was cut off says nothing that may be sent."""
    rewards: Float[np.ndarray, " briefs"]
    """Scores of the reward model, in standard deviations of its reference texts."""
    tokens: Int[np.ndarray, " briefs"]
    """Length, the end of the turn included."""

    @property
    def passed(self) -> Bool[np.ndarray, " briefs"]:
        """Whether each text passed the shield, and ended."""
        return self.ended & np.array([each.passed for each in self.verdicts])

    @property
    def grounded(self) -> Bool[np.ndarray, " briefs"]:
        """Says of the offer what is so, and states it."""
        return np.array([each.grounded for each in self.verdicts])

    @property
    def acceptable(self) -> Bool[np.ndarray, " briefs"]:
        """Came to its end, says of the offer what is so, and says how to take it."""
        return self.ended & self.grounded & np.array([each.takeable for each in self.verdicts])

    @property
    def broken_rules(self) -> dict[str, int]:
        """How many texts break each rule, most broken first."""
        return dict(Counter(rule for each in self.verdicts for rule in each.blocking).most_common())


def measure(
    model: Model,
    scorer: RewardModel,
    briefs: Sequence[Brief],
    texts: Sequence[str],
    ended: Bool[np.ndarray, " briefs"],
    rules: Rules,
    system: str | None,
) -> Written:
    """All figures of `texts`, one a brief, with stand-ins for the names."""
    examples = [
        packing.tokenise(model.tokenizer, brief.prompt(), text, system=system)
        for brief, text in zip(briefs, texts, strict=True)
    ]
    pad = int(model.tokenizer.pad_token_id)
    return Written(
        texts=list(texts),
        verdicts=check(briefs, texts, rules),
        ended=ended,
        rewards=reward.score_texts(model.decoder, scorer, [each.tokens for each in examples], pad=pad),
        tokens=np.array([len(each.completion) for each in examples]),
    )


@dataclass(frozen=True)
class Rates:
    """What one system's texts are worth to their readers; each rate (rate, low, high) with its 95 % interval."""

    acceptable: tuple[float, float, float]
    """Rate of those that state the offer and say how to take it, among the texts that were to make one."""
    passed: tuple[float, float, float]
    """Rate of those that the shield passes, among all texts."""
    words: float
    """Mean length."""
    distinct_2: float
    """Distinct pairs of words as a share of all of them."""


def rates(briefs: Sequence[Brief], written: Written) -> Rates:
    """Rates of one system. Raises ValueError where no brief makes an offer."""
    offering = np.array([not brief.offer.is_none for brief in briefs])
    if not offering.any():
        raise ValueError("no brief makes an offer; allowed: at least one that does")
    return Rates(
        acceptable=_rate(written.acceptable[offering]),
        passed=_rate(written.passed),
        words=float(np.mean([len(text.split()) for text in written.texts])),
        distinct_2=text_metrics.distinct(written.texts, 2),
    )


def _rate(flags: Bool[np.ndarray, " texts"]) -> tuple[float, float, float]:
    return float(flags.mean()), *wilson(int(flags.sum()), len(flags))


def table(found: Mapping[str, Rates]) -> str:
    """The systems' rates as Markdown."""
    lines = ["| system | can be accepted (95 %) | passes the shield (95 %) | words | distinct-2 |", "|---" * 5 + "|"]
    for name, each in found.items():
        cells = [f"{rate:.1%} ({low:.1%} to {high:.1%})" for rate, low, high in (each.acceptable, each.passed)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {each.words:.1f} | {each.distinct_2:.2f} |")
    return "\n".join(lines) + "\n"


# --- what needs no model: opponents that anything learned must beat ---------------------------------------------


def by_rule(briefs: Sequence[Brief], rules: Rules, seed: int) -> dict[str, list[str]]:
    """The shield's template, the grammar that the model learns from, and one fixed sentence: a text for each brief."""
    rng = random.Random(seed)
    return {
        "template": [brief.unfill(shield.render(brief, rules)) for brief in briefs],
        "grammar": [grammar.write(grammar.draft(brief, "train", rng)) for brief in briefs],
        "fixed sentence": [fixed(brief) for brief in briefs],
    }


def fixed(brief: Brief) -> str:
    """The same sentence to everybody with the same offer."""
    accept, opt_out = {
        "sms": ("Reply YES to accept.", "Reply STOP to opt out."),
        "push": ("Tap to accept.", "Manage alerts in settings."),
        "email": ("Reply to this e-mail to accept.", "You can unsubscribe at any time below."),
    }[brief.channel]
    if brief.offer.is_none:
        return f"{SENDER}: Any questions? We can help. {opt_out}"
    return f"{SENDER}: Get {brief.offer.text()}. {accept} {opt_out}"


def check(briefs: Sequence[Brief], texts: Sequence[str], rules: Rules) -> list[Verdict]:
    """The shield's verdicts on texts with stand-ins, as a model's."""
    return [shield.check(brief.fill(text), brief, rules, by="model") for text, brief in zip(texts, briefs, strict=True)]


def tournament(
    model: Model, briefs: Sequence[Brief], systems: dict[str, Sequence[str]], system: str | None
) -> arena.Tournament:
    """Every two systems on every brief, by a judge of rules and fluency that the training never saw.

    Texts with stand-ins for the names: what fills them in is no merit of a system.
    """
    # What several systems write to one brief is read once.
    said = list(dict.fromkeys(each for texts in systems.values() for each in enumerate(texts)))
    found = mean_log_probs(model, [briefs[index].prompt() for index, _ in said], [text for _, text in said], system)
    known = dict(zip(said, found.tolist(), strict=True))
    judge = rule_judge.judge(
        [asked(brief) for brief in briefs],
        grounded=lambda index, text: shield.grounded(briefs[index].fill(text), briefs[index]),
        takeable=lambda index, text: shield.check(briefs[index].fill(text), briefs[index]).takeable,
        log_prob=lambda index, text: known[index, text],
    )
    return arena.compare(systems, judge)


def asked(brief: Brief) -> Asked:
    """What the judge looks for in a message for `brief`, before its names are filled in."""
    return Asked(grammar.values(brief.mask()), brief.tone, ROOM[brief.channel])
