"""Teaches the shield's second reader from messages marked as good or bad: `python -m experiments.second_reader`.

`wordings/messages.en.txt.xz` holds some fifteen thousand messages of invented companies, most of them written for this
by language models that did not know the rules, the rest from the shield's tests and templates, or put together from
parts: `pass` or `refuse`, with channel, offer, customer and facts, and in `[[ ]]` the words that are at fault. What is
left of a bad message without these counts as a good one where it is a whole message: else the reader would learn the
frame in which attacks are written, and refuse `Hi Maria, 10% off for 30 days. Reply YES.` Whoever has messages of her
own adds them in the same form and teaches anew. Thresholds come from messages of companies left out in turn, so that no
message is judged by what was learned from its own.
"""

import argparse
import hashlib
import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from retentionjax.shield import Brief, OfferTerms, Sender, second_reader
from retentionjax.shield.reading import read

MESSAGES = Path(__file__).parent / "wordings" / "messages.en.txt.xz"
WEIGHTS = Path(second_reader.__file__).with_name("second_reader.en.npz")
FOLDS = 5
_SEEN = 2
"""A feature of fewer messages is left out."""
_WEIGHT_OF_REST = 0.3
_PENALTY = 0.3
"""C of the logistic regression: of the values tried, the one by which messages of another hand are told apart best."""
_REFUSED_OF_GOOD = 0.055
"""Share of good messages that the reader may refuse by itself."""
_CLEARED_OF_BAD = 0.097
"""Share of bad messages at whose log-odds the reader may doubt a rule."""


@dataclass(frozen=True)
class Marked:
    """A message somebody judged."""

    brief: Brief
    marked: str
    """The text, with `[[ ]]` around what is at fault."""
    weight: float = 1.0
    """How many messages it counts for: those by writers who were told what a message must hold count for more."""

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
    """The messages of a file: `== sender | domain`, or `== sender | domain | weight`, then `pass: channel | offer |
    customer | facts | text`."""
    weight = "1"
    sender = Sender("Nobody", "1 Main Street", ("nobody.example",), "https://nobody.example/unsubscribe")
    for line in lines:
        if line.startswith("== "):
            name, domain, weight = (each.strip() for each in f"{line.removeprefix('== ')} | 1".split("|")[:3])
            sender = Sender(name, "1 Main Street", (domain,), f"https://{domain}/unsubscribe")
        elif found := re.match(r"(pass|refuse): ", line):
            channel, words, customer, given, text = (each.strip() for each in line[found.end() :].split("|", 4))
            facts = dict(each.strip().split("=", 1) for each in given.split(",") if "=" in each)
            brief = Brief(channel, offer(words), sender, first_name=customer or None, facts=facts)  # type: ignore[arg-type]
            if (found[1] == "refuse") != ("[[" in text):
                raise ValueError(f"{line!r}: of what is refused, and of nothing else, the fault stands in [[ ]]")
            yield Marked(brief, text.replace("\\n", "\n"), float(weight))


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
    columns = np.concatenate([np.asarray(row, np.int64) for row in rows])
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


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, judges out of fold, writes the weights and prints what they are worth."""
    parser = argparse.ArgumentParser(prog="python -m experiments.second_reader", description=main.__doc__)
    parser.add_argument("--messages", type=Path, nargs="+", default=[MESSAGES], help="marked messages, as text or .xz")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file the weights are written to")
    asked = parser.parse_args(argv)
    messages = [each for file in asked.messages for each in marked(_text(file).splitlines())]
    print(json.dumps(teach(messages, asked.out), indent=2))


def teach(messages: Sequence[Marked], out: Path) -> dict[str, float]:
    """Writes a reader of `messages` to `out`; returns its figures on companies it had not read."""
    bad = np.array([each.bad for each in messages])
    counted = np.array([each.weight for each in messages])
    framed = np.array([each.bad and each.leaves_whole for each in messages])
    features, rest = (
        seen([each.plain for each in messages]),
        seen([each.rest.plain for each in messages if each.bad and each.leaves_whole]),
    )
    fold = np.array([_fold(each.brief.sender.name) for each in messages])
    log_odds = np.empty(len(messages))
    for each in range(FOLDS):
        weights, bias = fitted(
            features[fold != each], bad[fold != each], counted[fold != each], rest[fold[framed] != each]
        )
        log_odds[fold == each] = features[fold == each] @ weights + bias
    suspect, clear = np.quantile(log_odds[~bad], 1 - _REFUSED_OF_GOOD), np.quantile(log_odds[bad], _CLEARED_OF_BAD)
    weights, bias = fitted(features, bad, counted, rest)
    np.savez_compressed(out, weights=weights.astype(np.float16), bias=bias, suspect=suspect, clear=clear)
    return {
        "messages": len(messages),
        "bad": int(bad.sum()),
        "auc": float(roc_auc_score(bad, log_odds)),
        "suspect": float(suspect),
        "clear": float(clear),
        "bad_refused": float((log_odds[bad] >= suspect).mean()),
        "good_cleared": float((log_odds[~bad] < clear).mean()),
    }


def _fold(company: str) -> int:
    return hashlib.sha256(company.encode()).digest()[0] % FOLDS


def _text(file: Path) -> str:
    content = file.read_bytes()
    return (lzma.decompress(content) if file.suffix == ".xz" else content).decode("utf-8")


if __name__ == "__main__":
    main()
