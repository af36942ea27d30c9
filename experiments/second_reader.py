"""Teaches the shield's second reader from messages marked as good or bad: `python -m experiments.second_reader`.

`wordings/messages.en.txt.xz` holds some eighteen thousand messages of invented companies, most of them written for this
by language models that did not know the rules, the rest from the shield's tests and templates, or put together from
parts: `pass` or `refuse`, with channel, offer, customer and facts, and in `[[ ]]` the words that are at fault. What is
left of a bad message without these counts as a good one where it is a whole message: else the reader would learn the
frame in which attacks are written, and refuse `Hi Maria, 10% off for 30 days. Reply YES.` Whoever has messages of her
own adds them in the same form and teaches anew. What the two models count for comes from messages of writers left out
in turn, so that no message is judged by what was learned of its writer.
"""

import argparse
import bisect
import itertools
import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from experiments.fault_scores import Lesson, trained
from retentionjax.shield import Brief, OfferTerms, Sender, check, load_rules, second_reader
from retentionjax.shield.fault_scores import FaultScores
from retentionjax.shield.reading import read
from retentionjax.shield.second_reader import SecondReader

MESSAGES = Path(__file__).parent / "wordings" / "messages.en.txt.xz"
WEIGHTS = Path(second_reader.__file__).with_name("second_reader.en.npz")
_SEEN = 2
"""A feature of fewer messages is left out."""
_WEIGHT_OF_REST = 0.3
_PENALTY = 0.3
"""C of the logistic regression: of the values tried, the one by which messages of another hand are told apart best."""
_ROUNDS, _INSISTENCE, _MARGIN = 6, 3.0, 0.3
"""So often is what is judged wrong of the house's own counted so many times more; good ones must pass by the margin."""
_LINEAR, _NETWORK, _DOUBT, _ADDED = 0.295, 0.267, 0.873, -0.27
"""What the log-odds of either model, and rules in doubt, count for, and what is added: by logistic regression on four
writers whom neither rules nor models had read (`--judge p q r t`), and 0.25 more: a few more good ones are refused."""


@dataclass(frozen=True)
class Marked:
    """A message somebody judged."""

    brief: Brief
    marked: str
    """The text, with `[[ ]]` around what is at fault."""
    weight: float = 1.0
    """How many messages it counts for: those by writers who were told what a message must hold count for more."""
    writer: str = ""
    """Whoever wrote it; empty for the parts and tests that every reader has read."""

    @property
    def bad(self) -> bool:
        """Whether it may not be sent."""
        return "[[" in self.marked

    @property
    def text(self) -> str:
        """What would be sent."""
        return self.marked.replace("[[", "").replace("]]", "")

    @property
    def rest(self) -> "Marked":
        """The message without what is at fault."""
        return replace(self, marked=re.sub(r"\s*\[\[.*?\]\]\s*", " ", self.marked, flags=re.DOTALL).strip())

    @property
    def leaves_whole(self) -> bool:
        """Whether the rest is a message: it offers something, and the one fault is a sentence of its own."""
        before = self.marked.split("[[")[0].rstrip()
        return not self.brief.offer.is_none and self.marked.count("]]") == 1 and before.endswith((".", ":"))

    @property
    def plain(self) -> str:
        """What the reader is given of it: see `shield.check`."""
        return self.brief.offer.spare(self.brief.spare(read(self.text))).plain


def marked(lines: Sequence[str]) -> Iterator[Marked]:
    """The messages of a file: `== sender | domain`, maybe with `| weight | writer`, then `pass: channel | offer |
    customer | facts | text`."""
    weight, writer = "1", ""
    sender = Sender("Nobody", "1 Main Street", ("nobody.example",), "https://nobody.example/unsubscribe")
    for line in lines:
        if line.startswith("== "):
            name, domain, *more = (each.strip() for each in line.removeprefix("== ").split("|"))
            weight, writer = (*more, *("1", "")[len(more) :])
            sender = Sender(name, "1 Main Street", (domain,), f"https://{domain}/unsubscribe")
        elif found := re.match(r"(pass|refuse): ", line):
            channel, words, customer, given, text = (each.strip() for each in line[found.end() :].split("|", 4))
            facts = dict(each.strip().split("=", 1) for each in given.split(",") if "=" in each)
            brief = Brief(channel, offer(words), sender, first_name=customer or None, facts=facts)  # type: ignore[arg-type]
            if (found[1] == "refuse") != ("[[" in text):
                raise ValueError(f"{line!r}: of what is refused, and of nothing else, the fault stands in [[ ]]")
            yield Marked(brief, text.replace("\\n", "\n"), float(weight), writer)


def offer(words: str) -> OfferTerms:
    """`none`, `d20/90`, `d100/90 say:no fee`, `free/30`, `a15`, `a15:EUR`, `say:twice the speed/90` or `say:a vase`."""
    if found := re.fullmatch(r"(?:d(\d+)|free)/(\d+)(?: say:(.*))?", words):
        say = found[3] or (None if found[1] else "one month free")
        return OfferTerms(int(found[1] or 100) / 100, days=int(found[2]), say=say)
    if found := re.fullmatch(r"a(\d+)(?::(\w+))?", words):
        return OfferTerms(amount=float(found[1]), currency=found[2] or "USD")
    if found := re.fullmatch(r"say:(.*?)(?:/(\d+))?", words):
        return OfferTerms(say=found[1], days=int(found[2]) if found[2] else None)
    if words != "none":
        allowed = "none, d20/90, free/30, a15, a15:EUR, say:WORDS, say:WORDS/90"
        raise ValueError(f"the offer is {words!r}; allowed: {allowed}")
    return OfferTerms()


def seen(plain: Sequence[str]) -> csr_matrix:
    """Float [messages, 2^BITS]: 1 for each feature of each message."""
    rows = [sorted({place for places, _ in second_reader.features(each) for place in places}) for each in plain]
    columns = np.fromiter(itertools.chain.from_iterable(rows), np.int64)
    starts = np.cumsum([0, *map(len, rows)])
    return csr_matrix((np.ones(len(columns)), columns, starts), (len(rows), 1 << second_reader.BITS))


def fitted(messages: csr_matrix, bad: np.ndarray, weights: np.ndarray, rest: csr_matrix) -> tuple[np.ndarray, float]:
    """Weights [2^BITS] and bias: log-count ratios, scaled by logistic regression (NBSVM, Wang and Manning 2012).

    `weights` [messages] are those of the messages, `rest` what is left of bad ones without their faults.
    """
    features = csr_matrix(vstack([messages, rest]))
    label = np.concatenate([bad, np.zeros(rest.shape[0], bool)])
    weight = np.concatenate([weights, np.full(rest.shape[0], _WEIGHT_OF_REST)])
    counts = [1 + features[of].T @ weight[of] for of in (label, ~label)]
    ratio = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    ratio[np.asarray(features.sum(axis=0)).ravel() < _SEEN] = 0.0
    scaled = csr_matrix(features.multiply(ratio))
    model = LogisticRegression(C=_PENALTY, max_iter=1_000, class_weight="balanced").fit(
        scaled, label, sample_weight=weight
    )
    return ratio * model.coef_[0], float(model.intercept_[0])


def lesson(message: Marked) -> Lesson:
    """What the network learns from a message; where all of it is marked, nobody has said which words are at fault."""
    brief, pieces = message.brief, re.split(r"\[\[|\]\]", message.marked)
    ends = [0, *itertools.accumulate(map(len, pieces))]
    reading = brief.offer.spare(brief.spare(read(message.text)))
    tokens = [match for _, match in second_reader.features(reading.plain)]
    piece = (bisect.bisect_right(ends, reading.origin[token.start()]) - 1 for token in tokens)
    whole = message.bad and not any(each.strip() for each in pieces[::2])
    fault = None if whole else [each % 2 == 1 for each in piece]
    return Lesson([token.group() for token in tokens], fault, message.bad, message.weight)


@dataclass(frozen=True)
class Models:
    """The two models of a reader, before they are put together."""

    weights: np.ndarray
    """[2^BITS]."""
    bias: float
    network: dict[str, np.ndarray]

    @classmethod
    def learned(cls, messages: Sequence[Marked]) -> "Models":
        """What is learned from `messages`, and from what is left of the bad ones.

        The house's own messages, of no writer, are its rules said in examples: those judged wrong count for more.
        """
        rest = [each.rest for each in messages if each.bad and each.leaves_whole]
        lessons = [lesson(each) for each in messages]
        network = trained([*lessons, *(lesson(replace(each, weight=_WEIGHT_OF_REST)) for each in rest)])
        scores = FaultScores.of(network)
        beside = _NETWORK * np.array([scores.judge(each.tokens)[0] for each in lessons]) + _ADDED
        features, without = seen([each.plain for each in messages]), seen([each.plain for each in rest])
        own, bad = (np.array(each) for each in zip(*((not each.writer, each.bad) for each in messages), strict=True))
        counted = np.array([each.weight for each in messages])
        weights, bias = fitted(features, bad, counted, without)
        for _ in range(_ROUNDS):
            log_odds = beside + _LINEAR * (features @ weights + bias)
            wrong = own & np.where(bad, log_odds < 0, log_odds > -_MARGIN)
            counted = np.where(wrong, _INSISTENCE * counted, counted)
            weights, bias = fitted(features, bad, counted, without)
        return cls(weights, bias, network)

    def reader(self, linear: float = _LINEAR, network: float = _NETWORK, added: float = _ADDED) -> SecondReader:
        """The reader that counts its models' log-odds so."""
        weights, scores = (linear * self.weights).tolist(), FaultScores.of(self.network)
        return SecondReader(weights, linear * self.bias + added, scores, network, _DOUBT)

    def save(self, path: Path) -> None:
        """Writes the reader to an npz file: see `SecondReader.load`."""
        reader = self.reader()
        arrays = {key: np.asarray(getattr(reader, key)) for key in ("bias", "share", "doubt")}
        arrays |= {"weights": np.asarray(reader.weights, np.float16), **self.network}
        np.savez_compressed(path, allow_pickle=False, **arrays)


def main(argv: Sequence[str] | None = None) -> None:
    """Teaches the second reader, or judges its messages by readers that have read nothing of their writer."""
    parser = argparse.ArgumentParser(prog="python -m experiments.second_reader", description=main.__doc__)
    parser.add_argument("--messages", type=Path, nargs="+", default=[MESSAGES], help="marked messages, as text or .xz")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file the reader is written to")
    parser.add_argument("--judge", nargs="+", metavar="WRITER", help="print what unread messages of these are worth")
    asked = parser.parse_args(argv)
    messages = [each for file in asked.messages for each in marked(text_of(file).splitlines())]
    if asked.judge:
        print(json.dumps(judged(messages, asked.judge), indent=2))
    else:
        Models.learned(messages).save(asked.out)
        print(f"{asked.out}: taught by {len(messages):,} messages")


class Unread(NamedTuple):
    """A message to a reader that has read nothing of its writer."""

    writer: str
    bad: bool
    struck: bool
    """Whether a rule that is not in doubt refuses it."""
    evidence: tuple[float, float, float]
    """Log-odds of the linear model and of the network, and whether rules in doubt strike."""


def unread(messages: Sequence[Marked], writers: Sequence[str]) -> Iterator[Unread]:
    """The messages of each of the writers; the rules are as they are, whoever they were mended after."""
    severities = load_rules().severities
    for writer in writers:
        models = Models.learned([each for each in messages if each.writer != writer])
        linear, network = (models.reader(*counted, added=0.0) for counted in ((1.0, 0.0), (0.0, 1.0)))
        for each in messages:
            if each.writer == writer:
                found = {one.rule: one.severity for one in check(each.text, each.brief).violations}
                doubted = any(severities["en", rule] == "doubt" and rule != "text.suspect" for rule in found)
                struck = "block" in found.values()
                log_odds = (one.judged(each.plain).log_odds for one in (linear, network))
                yield Unread(writer, each.bad, struck, (*log_odds, float(doubted)))  # type: ignore[arg-type]


def judged(messages: Sequence[Marked], writers: Sequence[str]) -> dict[str, dict[str, float]]:
    """What rules and reader make of each writer's messages, unread, and what the evidence counts for by these.

    Messages are judged as wholes: `SecondReader.refuses` also refuses those of which a struck sentence reads badly.
    """
    rows = list(unread(messages, writers))
    bad, struck = np.array([each.bad for each in rows]), np.array([each.struck for each in rows])
    evidence = np.array([each.evidence for each in rows])
    log_odds = evidence @ np.array([_LINEAR, _NETWORK, _DOUBT]) + _ADDED
    refused = struck | (log_odds >= 0)
    figures = {}
    for writer in writers:
        own = np.array([each.writer == writer for each in rows])
        figures[writer] = {
            "auc": float(roc_auc_score(bad[own], log_odds[own])),
            "good_refused": float(refused[own & ~bad].mean()),
            "bad_refused": float(refused[own & bad].mean()),
        }
    fit = LogisticRegression().fit(evidence[~struck], bad[~struck])
    counts = dict(zip(("linear", "network", "doubt"), fit.coef_[0].tolist(), strict=True))
    return {**figures, "counts for": {**counts, "added": float(fit.intercept_[0])}}


def text_of(file: Path) -> str:
    """The text of a file, unpacked if it is an .xz."""
    content = file.read_bytes()
    return (lzma.decompress(content) if file.suffix == ".xz" else content).decode("utf-8")


if __name__ == "__main__":
    main()
