"""Prepared texts: `<folder>/<set>/{train,validation,test}.jsonl`, entered in the same catalog.json as the tables."""

import datetime as dt
import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from retentionjax import storage
from retentionjax.data import catalog, texts
from retentionjax.data.text_loading import TextTable, fingerprint
from retentionjax.data.texts import SPLITS, Example, Preference
from retentionjax.errors import DataError


def prepare(table: TextTable, folder: str | os.PathLike[str], *, force: bool = False) -> bool:
    """Writes the splits of `table` under `folder` and enters them in its catalog; whether there was anything to do."""
    base = storage.as_path(folder)
    if not force and not needs_update(base, table):
        return False
    files: dict[str, dict[str, Any]] = {}
    with storage.new_folder(base / table.name, replace=True) as partial:
        for name in SPLITS:
            data = "".join(texts.line(text) + "\n" for text in table.splits[name]).encode()
            storage.write_bytes(partial / f"{name}.jsonl", data)
            files[name] = {
                "file": f"{table.name}/{name}.jsonl",
                "rows": len(table.splits[name]),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    entry = {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seed": table.seed,
        "rows": table.provenance.rows,
        "provenance": asdict(table.provenance),
        "limits": fingerprint(table),
        "missing": dict(table.missing),
        "splits": files,
        "statistics": {name: statistics(table.splits[name]) for name in SPLITS},
    }
    catalog.enter(base, table.name, entry)
    return True


def needs_update(folder: str | os.PathLike[str], table: TextTable) -> bool:
    """Whether the prepared set in `folder` is missing, damaged, or made from another source, seed or limits."""
    base = storage.as_path(folder)
    entry = catalog.entries(base).get(table.name)
    if entry is None or entry["seed"] != table.seed or entry["provenance"] != asdict(table.provenance):
        return True
    if entry.get("limits") != fingerprint(table):
        return True
    files = [(base / each["file"], each["sha256"]) for each in entry["splits"].values()]
    return any(not path.exists() or storage.sha256(path) != expected for path, expected in files)


def read(folder: str | os.PathLike[str], name: str) -> dict[str, list[Example | Preference]]:
    """The splits of the prepared set `name`. Raises DataError when there is none, or a file is not as entered."""
    base = storage.as_path(folder)
    entry = catalog.entries(base).get(name)
    if entry is None:
        raise DataError(
            f"{base}/catalog.json: has no set {name!r}; it has {', '.join(catalog.entries(base)) or 'none'}"
        )
    found: dict[str, list[Example | Preference]] = {}
    for split, each in entry["splits"].items():
        path = base / each["file"]
        data = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != each["sha256"]:
            raise DataError(f"{path}: missing or not as the catalog says; `retentionjax data prepare --force` mends it")
        lines = data.decode("utf-8").split("\n")[:-1]
        found[split] = [texts.parse(written, f"{path}, line {number}") for number, written in enumerate(lines, start=1)]
    return found


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
