"""Columns of dates as moments: the forms that texts have, days that carry a time zone, dates that lack a day."""

import datetime as dt
import re

import numpy as np
import pandas as pd

DATE = "a date such as 2026-06-01"
_CLOCK = re.compile(r"[ T]%[HI].*$")
_NO_DAY = r"\d{4}(?:-?\d{2})?"
_DAY_ELSEWHERE = r"(\d{4}-\d{2}-\d{2})[T ]00:00(?::00(?:\.0+)?)?\s*[+-]\d{2}(?::?\d{2})?"
_OFFSET = r"^(.*)(?:Z|[+-]\d{2}:?\d{2})(.*)$"
"""What `%z` reads, with what stands before and after it."""
_DAYS = [
    *(f"{day}{mark}%{year}" for mark in "./-" for year in "Yy" for day in (f"%d{mark}%m", f"%m{mark}%d")),
    *("%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y"),
]
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_SAMPLE = 1000
_COUNTS = {r"\d{5}": "days since 1900", r"\d{10}": "seconds since 1970", r"\d{13}": "milliseconds since 1970"}


def of_typed(column: pd.Series) -> pd.Series:
    """datetime64 in UTC, NaT where missing, of a column of dates or times. Midnights of a time zone are its days: of
    Berlin's 1 June at 0:00, UTC would make 31 May."""
    found = pd.to_datetime(column, utc=True)
    zone = getattr(column.dt, "tz", None) if isinstance(column.dtype, pd.DatetimeTZDtype) else None
    if zone is not None:
        local = column.dt.tz_localize(None)
        if _are_days(local):
            return local.dt.tz_localize("UTC")
    return found


def of_one(moment: dt.datetime) -> np.datetime64:
    """The time in UTC to the second, as `of_typed` reads a column of one."""
    local = moment.replace(tzinfo=None)
    is_day = moment.tzinfo is None or local.time() == dt.time()
    return np.datetime64(local if is_day else moment.astimezone(dt.UTC).replace(tzinfo=None), "s")


def of_texts(texts: pd.Series, form: str) -> pd.Series:
    """datetime64 in UTC, NaT where a text is none, of the form `form`, with a time of day or without; empty: ISO 8601,
    with a day. Midnights of time zones are days, as in `of_typed`."""
    if not form:
        days = texts.str.replace(f"^{_DAY_ELSEWHERE}$", r"\1", regex=True)
        if days.str.len().max() == len("2026-06-01"):
            texts = days
        whole = texts.where(~texts.str.fullmatch(_NO_DAY, na=False))
        return pd.to_datetime(whole, format="ISO8601", errors="coerce", utc=True)
    found = pd.to_datetime(texts, format=form, errors="coerce", utc=True)
    bare = _CLOCK.sub("", form)
    for other in (bare, f"{bare} %H:%M", f"{bare} %H:%M:%S"):
        left = found.isna() & texts.notna()
        if not left.any():
            break
        found[left] = pd.to_datetime(texts[left], format=other, errors="coerce", utc=True)
    if "%z" in form:
        here = texts.str.replace(_OFFSET, r"\1\2", regex=True)
        local = pd.to_datetime(here, format=form.replace("%z", ""), errors="coerce", utc=True).fillna(found)
        return local if _are_days(local) else found
    return found


def _are_days(times: pd.Series) -> bool:
    """Whether all of `times` are midnights."""
    known = times.dropna()
    return bool((known == known.dt.normalize()).all())


def allowed(texts: pd.Series, form: str) -> str:
    """What a text that is no date should be: with the form that all of the column have, where one is found."""
    sample = texts.dropna().drop_duplicates().head(_SAMPLE)
    fitting = [f'{{dates: "{each}"}}' for each in _forms(sample)]
    told = f"a date of the form {form}" if form else DATE
    if fitting:
        return f"{told}; another form is told by reading: {' or '.join(fitting)}"
    for count, words in _COUNTS.items():
        if len(sample) and sample.str.fullmatch(count).all():
            return f"{told}; if it counts {words}, save the column as dates"
    return told if form else f'{told}; another form is told by reading: {{dates: "%d.%m.%Y"}} or the like'


def _forms(sample: pd.Series) -> list[str]:
    """Forms that all of `sample` have; two where day and month cannot be told apart."""
    return [
        f"{day}{clock}"
        for clock in _CLOCKS
        for day in _DAYS
        if len(sample) and pd.to_datetime(sample, format=f"{day}{clock}", errors="coerce").notna().all()
    ]


def stand_ins(found: np.ndarray) -> list[str]:
    """Warnings of days that systems write where they know none, where several of the moments `found` are on one."""
    days = found.astype("datetime64[D]")
    counts = {each: int((days == np.datetime64(each)).sum()) for each in ("1899-12-30", "1900-01-01", "1970-01-01")}
    asked = "do they stand for one that is not known?"
    return [f"{count:,} dates are {day}: {asked}" for day, count in counts.items() if count > 1]
