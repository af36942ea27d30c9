"""A text set by its name: read, cut to the limits, split so that nothing leaks; and prepared:
`<folder>/<set>/{train,validation,test}.jsonl`, entered in the same catalog.json as the tables.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from retentionjax.data import catalog, messages, oasst, preferences, text_sources, texts
from retentionjax.data.schema import Provenance
from retentionjax.data.sources import FoundFile, UnavailableError
from retentionjax.data.texts import (
    SPLITS,
    CountTokens,
    Example,
    Preference,
    TextLimits,
    Turn,
    estimated_tokens,
)
from retentionjax.errors import DataError

_GENERATED = {"train": 4_000, "validation": 500, "test": 1_000}
"""Pairs of `messages` in each split."""
Parts = Mapping[str, Sequence[Example | Preference]]


@dataclass(frozen=True)
class TextTable:
    """The splits of a text set."""

    name: str
    splits: Parts
    provenance: Provenance
    limits: TextLimits
    seed: int
    missing: Mapping[str, str]
    """Official files that could not be had, and why; their rows are not in `splits`."""
    tokens: str = "estimated, four characters each"
    """How the tokens of the limits were counted."""


@dataclass(frozen=True)
class _Request:
    limits: TextLimits
    count: CountTokens
    seed: int


def load(
    name: str, *, limits: TextLimits | None = None, count: CountTokens = estimated_tokens, seed: int = 42
) -> TextTable:
    """The text set `name` (oasst1, hh_rlhf, shp2, upworthy, messages) with its splits.

    `count` is the tokenizer's; the estimate takes four characters for a token. Raises DataError: no such set, damaged;
    UnavailableError when none of its files can be had.
    """
    if name not in NAMES:
        raise DataError(f"no text set is called {name!r}; allowed: {', '.join(NAMES)}")
    limits = limits or TextLimits()
    if name == messages.SOURCE:
        return _generated(limits, seed)
    found, missing = _files(name)
    splits = _LOAD[name](found, _Request(limits, count, seed))
    source = text_sources.text_set(name)
    sha256 = hashlib.sha256(json.dumps({part: each.sha256 for part, each in found.items()}).encode()).hexdigest()
    rows = sum(len(each) for each in splits.values())
    provenance = Provenance("real", _came_from(source, found), sha256, source.licence, rows)
    table = TextTable(name, splits, provenance, limits, seed, missing)
    return table if count is estimated_tokens else replace(table, tokens="by the tokenizer given")


def check(table: TextTable) -> None:
    """Raises DataError when a training set has fewer rows than its limits ask for; sets to judge on have no minimum."""
    minimum = {"oasst1": table.limits.minimum_examples, "shp2": table.limits.minimum_pairs}
    minimum["hh_rlhf"] = table.limits.minimum_pairs
    rows = len(table.splits["train"])
    if rows < (least := minimum.get(table.name, 0)):
        short = f" (without {', '.join(table.missing)})" if table.missing else ""
        raise DataError(f"gate: {table.name} has {rows:,} training rows{short}; allowed: {least:,} or more")


def fingerprint(table: TextTable) -> dict[str, int | str]:
    """The limits of `table` and how its tokens were counted, as the catalog keeps them."""
    return {**asdict(table.limits), "tokens": table.tokens}


def _generated(limits: TextLimits, seed: int) -> TextTable:
    """Our own retention pairs; the split of the test is of words never seen, not of lots."""
    splits: dict[str, list[Preference]] = {}
    for split, rows in _GENERATED.items():
        splits[split] = [
            Preference(
                prompt=(Turn("user", pair.brief.prompt()),),
                chosen=pair.chosen,
                rejected=pair.rejected,
                source=f"{pair.source}/{pair.flaw}",
                group=texts.group_of(pair.brief.prompt()),
            )
            for pair in messages.pairs(rows, split, seed)
        ]
    lines = "".join(texts.line(text) for split in splits.values() for text in split)
    source = f"retentionjax.data.messages, seed {seed}: made up by a grammar"
    sha256 = hashlib.sha256(lines.encode()).hexdigest()
    provenance = Provenance("synthetic", source, sha256, "made up; no licence needed", sum(_GENERATED.values()))
    return TextTable(messages.SOURCE, splits, provenance, limits, seed, {})


def _files(name: str) -> tuple[dict[str, FoundFile], dict[str, str]]:
    found: dict[str, FoundFile] = {}
    missing: dict[str, str] = {}
    last: UnavailableError | None = None
    for part in text_sources.text_set(name).parts:
        try:
            found[part] = text_sources.obtain(name, part)
        except UnavailableError as error:
            missing[part], last = str(error), error
    if last is not None and not found:
        raise last
    return found, missing


def _came_from(source: text_sources.TextSet, found: Mapping[str, FoundFile]) -> str:
    kinds = [source.parts[part].tables.get(each.sha256, "official") for part, each in found.items()]
    return f"{source.homepage} ({', '.join(dict.fromkeys(kinds))}: {', '.join(found)})"


def _oasst(found: Mapping[str, FoundFile], request: _Request) -> Parts:
    posts = oasst.read(found["messages"].data, found["messages"].where)
    kept = texts.keep(oasst.replies(posts, approved=True), request.limits, request.count)
    parts = texts.split(kept, request.seed)
    limits = request.limits
    return {
        **parts,
        "train": texts.at_most(parts["train"], limits.examples, request.seed),
        "validation": texts.at_most(parts["validation"], limits.validation_examples, request.seed),
    }


def _hh(found: Mapping[str, FoundFile], request: _Request) -> Parts:
    """Train and validation from its train files, less every dialogue of its test files; the probe from the latter."""
    pairs: dict[str, list[Preference]] = {"train": [], "test": []}
    for part, each in found.items():
        subset, split = part.split(".")
        pairs[split] += preferences.read_hh(each.data, each.where, subset)
    limits, seed = request.limits, request.seed
    kept = {split: texts.keep(each, limits, request.count) for split, each in pairs.items()}
    parts = _apart(preferences.without(kept["train"], pairs["test"]), seed)
    return {
        "train": texts.at_most(parts["train"], limits.hh, seed),
        "validation": texts.at_most(parts["validation"], _share(limits, limits.hh), seed),
        "test": texts.at_most(kept["test"], limits.probe, seed),
    }


def _shp(found: Mapping[str, FoundFile], request: _Request) -> Parts:
    """Its own splits: they are by post."""
    pairs: dict[str, list[Preference]] = {"train": [], "validation": []}
    for part, each in found.items():
        pairs[part.rpartition(".")[2]] += preferences.read_shp(each.data, each.where)
    limits, seed = request.limits, request.seed
    kept = {split: texts.keep(each, limits, request.count) for split, each in pairs.items()}
    judged = kept["validation"]
    return {
        "train": texts.at_most(preferences.without(kept["train"], judged), limits.shp, seed),
        "validation": texts.at_most(judged, _share(limits, limits.shp), seed),
        "test": [],
    }


def _clicks(found: Mapping[str, FoundFile], request: _Request) -> Parts:
    frame = preferences.read_upworthy(found["packages"].data, found["packages"].where)
    return texts.split(texts.keep(preferences.headline_pairs(frame), request.limits, request.count), request.seed)


def _apart(pairs: Sequence[Preference], seed: int) -> dict[str, list[Preference]]:
    """Train and validation 80/20 by group, for a set that brings its own test files."""
    validation = [pair for pair in pairs if texts.draw(pair.group, seed) >= 0.8]
    return {"train": [pair for pair in pairs if texts.draw(pair.group, seed) < 0.8], "validation": validation}


def _share(limits: TextLimits, most: int) -> int:
    """Share of the validation pairs that is due to a set that gives `most` of the training pairs."""
    return round(limits.validation_pairs * most / max(1, limits.hh + limits.shp))


_LOAD: Mapping[str, Callable[[Mapping[str, FoundFile], _Request], Parts]] = {
    "oasst1": _oasst,
    "hh_rlhf": _hh,
    "shp2": _shp,
    "upworthy": _clicks,
}
NAMES = (*_LOAD, messages.SOURCE)
"""Text sets that can be prepared."""


def prepare(table: TextTable, folder: str | os.PathLike[str], *, force: bool = False) -> bool:
    """Writes the splits of `table` under `folder` and enters them in its catalog; whether there was anything to do."""
    if not force and not needs_update(folder, table):
        return False
    lines = {name: "".join(texts.line(text) + "\n" for text in table.splits[name]).encode() for name in SPLITS}
    catalog.enter(
        folder,
        table.name,
        {f"{name}.jsonl": (data, len(table.splits[name])) for name, data in lines.items()},
        table.provenance,
        table.seed,
        rows=table.provenance.rows,
        limits=fingerprint(table),
        missing=dict(table.missing),
        statistics={name: statistics(table.splits[name]) for name in SPLITS},
    )
    return True


def needs_update(folder: str | os.PathLike[str], table: TextTable) -> bool:
    """Whether the prepared set in `folder` is missing, damaged, or made from another source, seed or limits."""
    return not catalog.is_whole(folder, table.name, table.provenance, table.seed, limits=fingerprint(table))


def statistics(rows: Sequence[Example | Preference]) -> dict[str, float | None]:
    """Statistics of a split: groups, turns, characters of prompts and responses, and for pairs how often the longer
    one wins."""
    if not rows:
        return {"groups": 0}
    prompts = [sum(len(turn.text) for turn in row.prompt) for row in rows]
    answers = [len(row.response if isinstance(row, Example) else row.chosen) for row in rows]
    pairs = [(len(row.chosen), len(row.rejected)) for row in rows if isinstance(row, Preference)]
    return {
        "groups": len({row.group for row in rows}),
        "turns_mean": float(np.mean([len(row.prompt) for row in rows])),
        "prompt_characters_median": float(np.median(prompts)),
        "answer_characters_median": float(np.median(answers)),
        "longer_chosen": float(np.mean([chosen > rejected for chosen, rejected in pairs])) if pairs else None,
    }
