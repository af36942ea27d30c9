"""What is to be scored, cut into shards: the plan of an output folder, by which a killed run goes on.

A shard is a run of rows of one input file and becomes one output file, `part-00000.parquet`. The plan holds the
SHA-256 of every input and of the bundle; another input, bundle or setting is another plan, and is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from etils import epath

from retentionjax import storage
from retentionjax.decide import draws
from retentionjax.errors import ConfigError, DataError

FORMAT = 4
NAME = "manifest.json"
OnError = Literal["stop", "skip"]


@dataclass(frozen=True)
class InputFile:
    """One input file as it must be."""

    name: str
    """Name below the folder of customers, or the file's own."""
    rows: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """Rows [first, first + rows) of one source."""

    number: int
    source: int
    first: int
    rows: int

    @property
    def part(self) -> str:
        """Name of the file of its decisions."""
        return f"part-{self.number:05d}.parquet"

    @property
    def rejects(self) -> str:
        """Name of the file of its rows that could not be read."""
        return f"rejects-{self.number:05d}.parquet"


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What the user may choose of that on which the output depends; each is a flag of the command."""

    campaign: str = "default"
    """Its id, which the draw depends on, as on customer and day."""
    day: int = 0
    """Day of the campaign, 0-based; customers have no history in it."""
    on_error: OnError = "stop"
    """What a row that cannot be read does: stop everything, or be left out and named in a file."""
    rows_per_shard: int = 250_000
    holdout: float = 0.0
    """Share of customers left alone, so that the effect of contacting the others can be measured."""
    salt: str = ""
    """Salt by which they are drawn; with the salt of a service's campaign, as it does."""
    usual: str = ""
    """Column of usual churn probabilities; without one everybody counts as calm."""

    def __post_init__(self) -> None:
        """Refuses shards of no rows, an unknown rule for errors, and a hold-out that cannot be."""
        draws.check(self.holdout)
        if self.holdout and not self.salt:
            raise ConfigError("salt is missing; allowed: any text, such as the salt of a service's campaign")
        if self.rows_per_shard < 1:
            raise ConfigError(f"rows_per_shard is {self.rows_per_shard}; allowed: 1 or more")
        if self.on_error not in get_args(OnError):
            raise ConfigError(f"on_error is {self.on_error!r}; allowed: {', '.join(get_args(OnError))}")


SETTINGS = tuple(each.name for each in fields(ScoreSettings))


@dataclass(frozen=True)
class Plan(ScoreSettings):
    """All that the output depends on."""

    bundle: str
    """Id of the bundle."""
    synthetic: bool
    """Whether the bundle was made with made-up data."""
    sources: tuple[InputFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all sources."""
        return sum(source.rows for source in self.sources)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """Shards in the order of the input."""
        spans = [
            (place, first, min(self.rows_per_shard, source.rows - first))
            for place, source in enumerate(self.sources)
            for first in range(0, source.rows, self.rows_per_shard)
        ]
        return tuple(Shard(number, *span) for number, span in enumerate(spans))

    @property
    def id(self) -> str:
        """SHA-256 of the plan, which every output file carries."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The plan as the manifest holds it."""
        return {"format": FORMAT, "id": self.id, **asdict(self), "sources": [asdict(each) for each in self.sources]}


def settle(plan: Plan, folder: epath.Path) -> None:
    """Writes the plan into a new output folder, or finds it there. Raises ConfigError naming what differs."""
    path = folder / NAME
    if not path.exists():
        if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise ConfigError(f"{folder}: holds files and no {NAME}; --out names a new folder, or that of a killed run")
        storage.write_json(path, plan.to_dict())
        return
    before = storage.read_json(path)
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        raise DataError(f"{path}: not the manifest of a scoring run in format {FORMAT}")
    wanted = plan.to_dict()
    if before == wanted:
        return
    raise ConfigError(f"{folder} was begun with {_difference(before, wanted)}; name another --out, or remove it")


def _difference(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing that differs, in words."""
    for name in ("bundle", *SETTINGS):
        if before.get(name) != wanted[name]:
            word = name if name == "bundle" else f"--{name.replace('_', '-')}"
            return f"{word} {_short(before.get(name))}, and this is {_short(wanted[name])}"
    old, new = ({each["name"]: each for each in plan.get("sources", [])} for plan in (before, wanted))
    if gone := sorted(old.keys() - new.keys()):
        return f"the input {gone[0]}, which is not there now"
    if more := sorted(new.keys() - old.keys()):
        return f"other input files: {more[0]} is new"
    changed = next((name for name in new if new[name] != old[name]), None)
    return "other settings" if changed is None else f"another content of the input {changed}"


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text or "none"
