"""What a report is made of: sections of blocks. Text is plain; the page escapes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from markupsafe import Markup

Tone = Literal["danger", "warning", "good", "plain"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Notice:
    """A sentence nobody may miss, with its explanation."""

    kind: ClassVar = "notice"
    tone: Tone
    title: str
    text: str = ""


@dataclass(frozen=True)
class Missing:
    """What the run does not hold, and the command that would make it; the page adds to a stage's which run it is of."""

    kind: ClassVar = "missing"
    what: str
    command: str


@dataclass(frozen=True)
class Tile:
    """One number, large."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    kind: ClassVar = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class FigureTable:
    """Rows of text under a header; the first column names the row, the others are figures unless `words`."""

    kind: ClassVar = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows that stand out."""
    words: bool = False
    """Columns hold words, set flush left."""

    def __post_init__(self) -> None:
        """A row has a cell for each column."""
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.caption!r}: the row {row} has not {len(self.header)} cells")


@dataclass(frozen=True)
class Picture:
    """An SVG; `label` says in words what it shows, for those who cannot see it."""

    kind: ClassVar = "picture"
    svg: Markup
    label: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side where there is room."""

    kind: ClassVar = "pictures"
    pictures: tuple[Picture, ...]
    beside: FigureTable | None = None
    """Stands where another picture would."""


@dataclass(frozen=True)
class WrittenSample:
    """One instruction and what each system wrote to it."""

    prompt: str
    texts: Mapping[str, str]


@dataclass(frozen=True)
class WrittenSamples:
    """Texts to compare by eye."""

    kind: ClassVar = "samples"
    samples: tuple[WrittenSample, ...]


Block: TypeAlias = Paragraph | Notice | Missing | Tiles | FigureTable | Picture | Pictures | WrittenSamples


@dataclass(frozen=True)
class Section:
    """A chapter; `key` is its anchor."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What it would show if the run held it."""
        return tuple(block for block in self.blocks if isinstance(block, Missing))


# --- figures in words -----------------------------------------------------------------------------------------

Figures: TypeAlias = Mapping[str, float | None]
"""`mean`, `low`, `high` of an estimate; None where it is not defined."""
DASH = "–"
SPACE = "\N{NO-BREAK SPACE}"


def money(value: float, *, sign: bool = False, digits: int = 2) -> str:
    """Money with thousands separated: −$0.66, +$5.13, $2,403; `$` stands for the currency, which the page knows."""
    before = "−" if value < 0 else "+" if sign else ""
    return f"{before}${abs(value):,.{digits}f}"


def interval(estimate: Figures, *, sign: bool = False) -> str:
    """Money with the 95 % interval in brackets; a dash where it is not defined."""
    mean, low, high = (estimate.get(part) for part in ("mean", "low", "high"))
    if mean is None:
        return DASH
    if low is None or high is None:
        return money(mean, sign=sign)
    return f"{money(mean, sign=sign)} [{money(low, sign=sign)},{SPACE}{money(high, sign=sign)}]"


def number(value: float | None, digits: int = 3) -> str:
    """A figure of so many digits after the point; a dash where it is not defined."""
    return DASH if value is None else f"{value:,.{digits}f}".replace("-", "−")


def bracketed(figures: Mapping[str, Any], key: str, digits: int = 3) -> str:
    """Figure `key` of a summary with its interval (`<key>_low`, `<key>_high`) where it has one."""
    if key not in figures:
        return DASH
    text = number(figures[key], digits)
    if f"{key}_low" in figures and f"{key}_high" in figures:
        low, high = (number(figures[f"{key}_{end}"], digits) for end in ("low", "high"))
        text += f" [{low},{SPACE}{high}]"
    return text


def percent(value: float | None, digits: int = 0) -> str:
    """A share in per cent; a dash where it is not defined."""
    return DASH if value is None else f"{100 * value:.{digits}f}{SPACE}%".replace("-", "−")


def percent_interval(estimate: Figures, digits: int = 0) -> str:
    """A share in per cent with its 95 % interval."""
    mean, low, high = (estimate.get(part) for part in ("mean", "low", "high"))
    if mean is None or low is None or high is None:
        return percent(mean, digits)
    return f"{percent(mean, digits)} [{100 * low:.{digits}f},{SPACE}{100 * high:.{digits}f}]"
