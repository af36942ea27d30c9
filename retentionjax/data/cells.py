"""Cells as values: numbers, categories, dates, ids and flags as people write them, each fault collected.

Everything here works on whole columns; a Python loop runs over distinct categories, never over cells.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from retentionjax.checked import did_you_mean, listing
from retentionjax.company.reading import INFER, MISSING, CellReading, Condition
from retentionjax.data import moments
from retentionjax.data.faults import Fault
from retentionjax.data.reading import RawTable, as_text
from retentionjax.data.spelling import (
    TRUE,
    UNKNOWN,
    flag,
    group,
    may_be_grouped,
    missing_hint,
    number,
    number_form,
    number_hint,
    plain,
)

MOST_INFERRED = 100
"""A column with more different values than this is no category: a name, a date, a number."""
_LARGEST = float(np.finfo(np.float32).max)
_NUMBER = "a finite number"
_FIRST = 1000  # cells that tell whether all are to be looked at
_EASTERNMOST = dt.timezone(dt.timedelta(hours=14))


def latest_day() -> dt.date:
    """The latest day that it is anywhere: what is dated later has nowhere happened yet."""
    return dt.datetime.now(_EASTERNMOST).date()


def after(today: dt.date) -> tuple[str, str]:
    """What is wrong with a later day, and what is allowed."""
    return "is after today", f"a day until {today}"


@dataclass
class Cells:
    """The columns of a file, or some of its rows, as values; what cannot be used is added to `faults`."""

    raw: RawTable
    reading: CellReading = field(default_factory=CellReading)
    currency: str = "USD"
    """Currency whose code and sign may stand beside a number."""
    rows: np.ndarray | None = None
    """Rows of `raw` that count, from 0, rising; None: all."""
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    today: dt.date = field(default_factory=latest_day)
    """The last day that may be over."""

    @property
    def count(self) -> int:
        """How many rows count."""
        return self.raw.rows if self.rows is None else len(self.rows)

    def spelt(self, name: str) -> str | None:
        """The column as the file spells it: `name`, or the one that is `name` but for spaces and composed accents."""
        if name in self.raw.names:
            return name
        return next((each for each in self.raw.names if plain(each) == name), None)

    def without(self, gone: np.ndarray) -> "Cells":
        """The same without the rows where `gone` is true."""
        rows = np.arange(self.raw.rows) if self.rows is None else self.rows
        kept = self.rows if not gone.any() else rows[~gone]
        return replace(self, rows=kept)

    def quiet(self) -> "Cells":
        """The same, whose faults are told to nobody."""
        return replace(self, faults=[], warnings=[])

    def ids(self, name: str) -> pd.Series:
        """Text, spaces around it aside; empty cells are faults. Leading zeros stay."""
        texts = self.texts(name)
        values = pd.Series(texts.to_pandas().to_numpy(), dtype="str")
        self.refuse(name, values.isna().to_numpy(), "is missing", "an id in every row")
        return values

    def once(self, name: str, keys: pd.Series | pd.DataFrame, allowed: str = "every id once") -> None:
        """Refuses rows whose `keys` an earlier row has."""
        missing = keys.isna().to_numpy().reshape(len(keys), -1).any(axis=1)
        self.refuse(name, keys.duplicated().to_numpy() & ~missing, "is in an earlier row too", allowed)

    def numbers(
        self,
        name: str,
        *,
        nullable: bool = False,
        allowed: str = _NUMBER,
        accept: Callable[[np.ndarray], np.ndarray] | None = None,
        mend: str = "",
    ) -> np.ndarray:
        """float64[rows], NaN where missing. Faults: no number, missing (`mend`: what to do), not finite, not
        `accept`ed."""
        values, missing, wrong = self._parsed(name)
        if pa.types.is_string(self.raw.table[self.spelt(name) or name].type):
            few = np.arange(min(self.count, _FIRST)) if self.rows is None else self.rows[:_FIRST]
            if may_be_grouped(replace(self, rows=few).texts(name), self.reading) and (
                said := may_be_grouped(self.texts(name), self.reading)
            ):
                self.warnings.append(f"{self.raw.where}, column {name!r}: {said}")
        if nullable:
            allowed = f"{allowed}; the cell may be empty"
        else:
            self.refuse(name, missing, "is missing", mend or allowed)
        self.refuse(name, wrong, "is not a number", allowed, lambda each: number_hint(each, self.reading))
        infinite = ~missing & ~wrong & ~(np.abs(values) <= _LARGEST)
        self.refuse(name, infinite, "is not finite", allowed, self._stand_in)
        if accept is not None:
            self.refuse(name, ~missing & ~wrong & ~infinite & ~accept(values), "is out of range", allowed)
        return values

    def categories(
        self,
        name: str,
        allowed: Sequence[str] | str,
        *,
        nullable: bool = False,
        meaning: Callable[[str], str | None] = str,
        mend: str = "",
    ) -> pd.Categorical:
        """A Categorical over `allowed`, or over those that occur, sorted, if that is `infer`. Missing is NaN.

        `meaning` turns another text into an allowed one, or None for a missing one; `mend` says what to do about those
        that are none.
        """
        values, codes = self._distinct(name)
        known = [] if isinstance(allowed, str) else list(allowed)
        meant = [self._meant(name, value, known) for value in values]
        meant = [value if value is None or value in known else meaning(value) for value in meant]
        if allowed == INFER:
            known = sorted({value for value in meant if value is not None})
            self._check_inferred(name, known)
        position: dict[str | None, int] = {value: code for code, value in enumerate(known)}
        code_of = np.array([-2 if value is None else position.get(value, -1) for value in meant] + [-2])
        found = code_of[codes]
        if not nullable:
            self.refuse(name, found == -2, "is missing", listing(known) if known else "a category")
        self.refuse(
            name, found == -1, "is an unknown category", listing(known) + mend, lambda value: did_you_mean(value, known)
        )
        return pd.Categorical.from_codes(np.maximum(found, -1), categories=pd.Index(known, dtype="str"))

    def flags(self, name: str, yes: str, no: str, *, nullable: bool = False) -> np.ndarray:
        """float64[rows]: 1 for `yes`, 0 for `no`, NaN where missing; a column of true and false needs neither.

        1.0 is 1; and where the two are usual words for true and false, any other usual word for it is too. Where a cell
        may be missing, a usual word for what is not known (NaN, as numpy writes it) is a missing one.
        """
        column = self._column(name)
        if pa.types.is_boolean(column.type):
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
            values = np.where(np.isnan(values) | (no.lower() not in TRUE), values, 1 - values)
            if not nullable:
                self.refuse(name, np.isnan(values), "is missing", "true or false")
            return values
        mend = f"; other words are told by {{column: {name}, yes: …, no: …}}"

        def meant(text: str) -> str | None:
            return None if nullable and text.lower() in UNKNOWN else flag(text, yes, no)

        codes = self.categories(name, (no, yes), nullable=nullable, meaning=meant, mend=mend).codes
        return np.where(codes < 0, math.nan, codes)

    def dates(self, name: str, *, nullable: bool = False, past: bool = False) -> np.ndarray:
        """datetime64[s][rows] in UTC, NaT where missing. Faults: no date, missing, and after today if it must be
        `past`."""
        column = self._column(name)
        texts = pd.Series(dtype="str")
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            found = moments.of_typed(pd.Series(column.to_pandas()))
            missing = found.isna().to_numpy()
            wrong = np.zeros_like(missing)
        else:
            texts = pd.Series(self.texts(name).to_pandas(), dtype="str")
            missing = texts.isna().to_numpy()
            found = moments.of_texts(texts, self.reading.dates)
            wrong = found.isna().to_numpy() & ~missing
        if wrong.any():
            self.refuse(name, wrong, "is no date", moments.allowed(texts, self.reading.dates), self._stand_in)
        if not nullable:
            form = self.reading.dates
            self.refuse(name, missing, "is missing", f"a date of the form {form}" if form else moments.DATE)
        times = found.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
        said = [f"{self.raw.where}, column {name!r}: {each}" for each in moments.stand_ins(times)]
        self.warnings += [each for each in said if each not in self.warnings]
        if past:
            self.refuse(name, times.astype("datetime64[D]") > np.datetime64(self.today), *after(self.today))
        return times

    def days(self, day: dt.date | str | None, *, nullable: bool = False) -> np.ndarray:
        """datetime64[s][rows] of a date that is the same for all, or of a column of days that are over."""
        if isinstance(day, str):
            return self.dates(day, nullable=nullable, past=True)
        return np.full(self.count, np.datetime64(day, "s"))

    def fits(self, name: str, condition: Condition, made: np.ndarray | None = None) -> np.ndarray:
        """bool[rows]: where `condition` holds for a column, or for the numbers `made` of several.

        Faults: a condition that can be compared with nothing there, and cells that cannot be compared with it.
        """
        values, missing, wrong = (
            self._parsed(name) if made is None else (made, np.isnan(made), np.zeros(len(made), bool))
        )
        if condition.operator == MISSING:
            return missing
        compare, bound = _COMPARISONS[condition.operator], number(condition.value)
        if condition.operator in ("==", "!=") and made is None and wrong.any():
            texts = self.texts(name).fill_null("").to_numpy(zero_copy_only=False)
            return compare(np.asarray(texts), condition.value)
        what: Any = bound
        if bound is None and made is None and (what := self._moment(condition.value)) is not None:
            values = self.quiet().dates(name, nullable=True)
            wrong = np.isnat(values) & ~missing
        if what is None or (len(values) and (wrong | missing).all() and wrong.any()):
            kind = "such dates (reading: {dates: …} tells their form)" if bound is None else "numbers"
            holds = f": it holds no {kind}" * (what is not None)
            wrongly = f"{'' if made is None else f'{name!r} '}cannot be compared with {str(condition)!r}{holds}"
            allowed = f"such as '<= 0', '>= 2026-05-25', '== text', or {MISSING}"
            self.reject(wrongly, allowed, name=name if made is None else "")
            return np.zeros(self.count, bool)
        self.refuse(name, wrong, f"cannot be compared with {str(condition)!r}", "a cell like the others")
        return ~missing & ~wrong & compare(values, what)

    def _moment(self, text: str) -> np.datetime64 | None:
        """The time that a condition names, in the file's form of dates or as 2026-06-01; None where it names none."""
        for form in (self.reading.dates, "ISO8601"):
            found = pd.to_datetime(text, format=form, errors="coerce", utc=True) if form else pd.NaT
            if not pd.isna(found):
                return np.datetime64(found.tz_localize(None), "s")
        return None

    def are_numbers(self, name: str) -> bool:
        """Whether every cell that is not missing is a number."""
        _, missing, wrong = self._parsed(name)
        return not wrong.any() and not missing.all()

    def blank(self, names: Sequence[str]) -> np.ndarray:
        """bool[rows]: where every one of the columns `names` is empty, as in the last lines of a spreadsheet."""
        empty = np.ones(self.count, bool)
        for name in names:
            column = self._column(name)
            if pa.types.is_string(column.type):
                column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
            empty &= np.asarray(pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False), bool)
            if not empty.any():
                break
        return empty

    def refuse(
        self, name: str, bad: np.ndarray, wrong: str, allowed: str, hint: Callable[[str], str] | None = None
    ) -> None:
        """Adds a fault for the rows where `bad` is true, if there are any."""
        if bad.any():
            rows = np.flatnonzero(bad)
            rows = rows if self.rows is None else self.rows[rows]
            self.faults.append(Fault(self.raw, self.spelt(name) or name, rows, wrong, allowed, hint=hint))

    def first(self, which: np.ndarray, name: str = "") -> str:
        """Place of the first row where `which` is true, and its cell of the column `name`: `line 7 ('C-12')`."""
        row = np.flatnonzero(which)[:1] if self.rows is None else self.rows[which][:1]
        cell = f" ({self.raw.text(self.spelt(name) or name, int(row[0]))!r})" if name else ""
        return f"{self.raw.places(row)[0]}{cell}"

    def reject(self, wrong: str, allowed: str = "", *, name: str = "") -> None:
        """Adds a fault of the file, or of the column `name`, as a whole."""
        column = name and (self.spelt(name) or name)
        self.faults.append(Fault(self.raw, column, np.empty(0, np.int64), wrong, allowed))

    def count_lines(self) -> None:
        """Adds a fault for the lines that are no rows, before all others, if there are any."""
        if self.raw.broken:
            self.faults.insert(0, Fault(self.raw, "", np.arange(len(self.raw.broken)), "", ""))

    def _stand_in(self, value: str) -> str:
        return missing_hint(value, self.reading)

    # --- columns ----------------------------------------------------------------------------------------------

    def _column(self, name: str) -> pa.ChunkedArray:
        column = self.raw.table[self.spelt(name) or name]
        return column if self.rows is None else column.take(pa.array(self.rows))

    def texts(self, name: str) -> pa.ChunkedArray:
        """The column as text without spaces around it, accents composed, aliases followed, missing as null."""
        column = self._column(name)
        if not pa.types.is_string(column.type):
            column = as_text(column)
        if pc.all(pc.string_is_ascii(column)).as_py() is False:
            column = pc.utf8_normalize(column, form="NFC")
        if aliases := self.reading.aliases.get(name):
            known = pa.array(list(aliases), pa.string())
            stripped = pc.index_in(pc.utf8_trim_whitespace(column), value_set=known)
            places = pc.coalesce(pc.index_in(column, value_set=known), stripped)
            column = pc.coalesce(pc.take(pa.array(list(aliases.values()), pa.string()), places), column)
        column = pc.utf8_trim_whitespace(column)
        gone = pc.is_in(column, value_set=pa.array(["", *(each.strip() for each in self.reading.missing)]))
        return pc.if_else(gone, pa.scalar(None, pa.string()), column)

    def _parsed(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float64[rows], and where the cell is missing, and where it is no number."""
        column = self._column(name)
        if (
            not (pa.types.is_string(column.type) or pa.types.is_temporal(column.type))
            and name not in self.reading.aliases
        ):
            values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
            codes = [value for each in self.reading.missing if (value := number(each)) is not None]
            missing = np.isnan(values) | np.isin(values, codes)
            return np.where(missing, math.nan, values), missing, np.zeros(len(values), bool)
        texts = self.texts(name)
        missing = np.asarray(pc.is_null(texts).to_numpy(zero_copy_only=False), bool)
        if self.reading.decimal != "." or self.reading.thousands:
            return self._parsed_carefully(texts, missing)
        try:
            values = np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
            return values, missing, np.zeros(len(values), bool)
        except pa.ArrowInvalid:
            return self._parsed_carefully(texts, missing)

    def _parsed_carefully(
        self, texts: pa.ChunkedArray, missing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers with the currency beside them, groups of thousands, and a decimal sign of their own."""
        form, thousands, decimal = (
            number_form(self.reading, self.currency),
            self.reading.thousands,
            self.reading.decimal,
        )
        fits = pc.fill_null(pc.match_substring_regex(texts, form), fill_value=False)
        bare = pc.replace_substring_regex(texts, form, "\\1\\2\\3")
        if thousands:
            bare = pc.replace_substring_regex(bare, group(thousands), "")
        if decimal != ".":
            bare = pc.replace_substring(bare, decimal, ".")
        bare = pc.replace_substring(bare, "−", "-")
        values = pc.if_else(fits, bare, pa.scalar(None, pa.string())).cast(pa.float64())
        wrong = ~np.asarray(fits.to_numpy(zero_copy_only=False), bool) & ~missing
        return np.asarray(values.to_numpy(zero_copy_only=False), np.float64), missing, wrong

    def _distinct(self, name: str) -> tuple[list[str | None], np.ndarray]:
        """The different texts of a column, as they stand there, and which of them each row has (−1: missing)."""
        column = self._column(name)
        column = column if pa.types.is_string(column.type) else as_text(column)
        encoded = column.dictionary_encode().unify_dictionaries()
        whole = encoded.combine_chunks() if encoded.num_chunks != 1 else encoded.chunk(0)
        if isinstance(whole, pa.ChunkedArray):
            return [], np.empty(0, np.int64)
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return whole.dictionary.to_pylist(), codes

    def _meant(self, name: str, value: str | None, known: Sequence[str]) -> str | None:
        """The category that a text stands for; None for a missing one."""
        if value is None:
            return None
        aliases: Mapping[str, str] = self.reading.aliases.get(name, {})
        text = aliases.get(value, aliases.get(plain(value), value))
        if text in known:
            return text
        text = plain(text)
        return text if text in known or text not in ("", *self.reading.missing) else None

    def _check_inferred(self, name: str, known: Sequence[str]) -> None:
        if len(known) > MOST_INFERRED:
            wrong = f"{len(known)} different values are too many to infer categories from"
            allowed = f"{MOST_INFERRED}, or any number of values that are listed: {{{name}: [a, b]}}"
            allowed += "; if it is a number or a name, it is no category"
            self.reject(wrong, allowed, name=name)
        folded: dict[str, str] = {}
        for value in known:
            first = folded.setdefault(value.casefold(), value)
            if first != value:
                self.warnings.append(f"column {name!r}: {first!r} and {value!r} count as two categories")


_COMPARISONS: Mapping[str, Callable[..., np.ndarray]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
