"""Settings and descriptions that are held to what they may be, every fault named: a person mends all of it at once."""

import difflib
import functools
import math
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Annotated, Any

from retentionjax.errors import ConfigError


@dataclass(frozen=True)
class KeyFault:
    """A value that cannot be used."""

    path: str
    """Keys from the top, as `offers.ten.discount`; empty for the file as a whole."""
    wrong: str
    """Value, what is wrong with it, and what is allowed, in words."""

    def __str__(self) -> str:
        """The fault without the file, as `limits.budget: -1 is out of range; allowed: 0 or more`."""
        return f"{self.path}: {self.wrong}" if self.path else self.wrong


class CompanyError(ConfigError):
    """Every fault of a company's description or of settings, a line each. `faults` holds them."""

    def __init__(self, faults: Iterable[KeyFault], where: str = "") -> None:
        """`where` is the file; empty for a description made in Python."""
        self.faults = tuple(faults)
        start = f"{where}: " if where else ""
        super().__init__("\n".join(f"{start}{fault}" for fault in self.faults))


def nearest(given: str, allowed: Collection[str]) -> str | None:
    """The one of `allowed` that `given` may be a slip of the pen for; None where none is near."""
    folded = {each.strip().casefold(): each for each in allowed}
    near = difflib.get_close_matches(given.strip().casefold(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def did_you_mean(given: str, allowed: Collection[str]) -> str:
    """`; did you mean 'budget'?` where one of `allowed` is near, otherwise empty."""
    near = nearest(given, allowed)
    return "" if near is None else f"; did you mean {near!r}?"


_LISTED = 20


def listing(allowed: Sequence[str]) -> str:
    """`allowed` for a message, cut after so many that it can still be read."""
    named = ", ".join(map(repr, allowed[:_LISTED]))
    return named if len(allowed) <= _LISTED else f"{named} and {len(allowed) - _LISTED} more"


@dataclass(frozen=True)
class Within:
    """The range of a number: `Annotated[float, Within(0, 1, "a share of the charge")]`."""

    low: float = 0.0
    high: float = math.inf
    unit: str = ""
    above: bool = False
    """Whether the number must be above `low`."""
    infinite: bool = False
    """Whether `inf`, which switches a limit off, is allowed."""

    def wrong(self, value: float) -> str | None:
        """What is wrong with `value`, None if nothing is."""
        fits = self.low < value if self.above else self.low <= value
        if fits and value <= self.high and (math.isfinite(value) or self.infinite):
            return None
        return f"{value:g} is out of range; allowed: {self.allowed}"

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self == ANY:
            return "any finite number"
        start = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        span = start if math.isinf(self.high) else f"{'above ' * self.above}{self.low:g} to {self.high:g}"
        extra = ", or inf for no limit" if self.infinite else ""
        return f"{span}{extra}{f' ({self.unit})' if self.unit else ''}"


ANY = Within(-math.inf)
"""Range of a number that has none: what is not finite is refused all the same, for no comparison with NaN is true."""


class Checked:
    """A dataclass whose numbers are held to their ranges and whose `wrong` says what does not fit together."""

    def __post_init__(self) -> None:
        """Raises CompanyError for what is no number or out of range, naming field, value and what is allowed."""
        _take_scalars(self)
        faults = [*_no_choice(self), *_no_numbers(self)] or [*_out_of_range(self), *self.wrong()]
        if faults:
            raise CompanyError(KeyFault(key, what) for key, what in faults)

    def wrong(self) -> list[tuple[str, str]]:
        """Pairs of key and sentence for values that do not fit together; nothing unless a class says otherwise."""
        return []


def as_python(value: Any) -> Any:
    """A number or truth of NumPy or JAX, an array without dimensions too, as Python's own; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _take_scalars(record: Any) -> None:
    """Puts Python's own numbers in place of others, and 6 in place of 6.0 where a whole number belongs."""
    for name, value, kinds, _ in [*_ranged(record)]:
        own = as_python(value)
        own = int(own) if float not in kinds and isinstance(own, float) and own.is_integer() else own
        if own is not value:
            object.__setattr__(record, name, own)


def _no_choice(record: Any) -> Iterator[tuple[str, str]]:
    """Fields that must be one of some words, or true or false: an unknown word would be found out by what reads it."""
    kind: Any = type(record)
    for field in fields(record):
        hint, value = field_types(kind)[field.name], as_python(getattr(record, field.name))
        if typing.get_origin(hint) is typing.Literal:
            allowed = typing.get_args(hint)
            if not any(isinstance(value, type(each)) and value == each for each in allowed):
                words = [str(each) for each in allowed]
                yield field.name, f"is {value!r}{did_you_mean(str(value), words)}; allowed: {', '.join(words)}"
        if hint is bool and not isinstance(value, bool):
            yield field.name, f"{value!r} is neither true nor false"


def _no_numbers(record: Any) -> Iterator[tuple[str, str]]:
    """Fields that should be numbers: text cannot be compared, and 2.5 of something would count as 2."""
    for name, value, kinds, mark in _ranged(record):
        kind, word = (Real, "a number") if float in kinds else (Integral, "a whole number")
        if isinstance(value, bool) or not isinstance(value, kind):
            yield name, f"{value!r} is not {word}; allowed: {word if mark == ANY else mark.allowed}"


def _out_of_range(record: Any) -> Iterator[tuple[str, str]]:
    for name, value, _, mark in _ranged(record):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond every float
            number = math.inf if value > 0 else -math.inf
        if what := mark.wrong(number):
            yield name, what


def _ranged(record: Any) -> Iterator[tuple[str, Any, tuple[Any, ...], Within]]:
    """Name, value, types and range of each field that is a number, `Count | None` too; not of one that may be None and
    is."""
    kind: Any = type(record)
    hints = field_types(kind)
    for field in fields(record):
        hint, value = hints[field.name], getattr(record, field.name)
        members = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else ()
        bare = tuple(each for each in (hint, *members) if each in (int, float))
        others = tuple(each for each in members if isinstance(each, type) and each not in bare)
        if bare and not isinstance(value, others):
            yield field.name, value, bare, ANY
        for each in (hint, *members):
            for mark in getattr(each, "__metadata__", ()):
                inner = typing.get_args(each)[0]
                kinds = (inner, *typing.get_args(inner), *members)
                if isinstance(mark, Within) and not (value is None and type(None) in kinds):
                    yield field.name, value, kinds, mark


@functools.cache
def field_types(kind: type) -> dict[str, Any]:
    """Field → type of a dataclass, its marks included."""
    return typing.get_type_hints(kind, include_extras=True)


Count = Annotated[int, Within(1)]
Seed = Annotated[int, Within()]
Share = Annotated[float, Within(0, 1)]
NotNegative = Annotated[float, Within()]
Positive = Annotated[float, Within(above=True)]
