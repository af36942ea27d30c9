"""Pages: Jinja2 with everything escaped, and the words for numbers."""

import datetime as dt
import hashlib
import zoneinfo
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from retentionjax.company.money import money as in_words
from retentionjax.company.money import symbol

HERE = Path(__file__).parent
STATIC = HERE / "static"


def page(template: str, *, status: int = 200, currency: str = "USD", **values: Any) -> Response[str]:
    """A page or a part of one, as HTML; money on it is in `currency`."""
    text = _environment(currency).get_template(template).render(**values)
    return Response(text, status_code=status, media_type="text/html; charset=utf-8")


@cache
def _environment(currency: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(money=partial(money, currency=currency), percent=percent, factor=factor, words=words)
    environment.globals.update(asset=asset, moment=moment, symbol=symbol(currency))
    return environment


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def money(micros: float, currency: str) -> str:
    """2_500_000 → €2.50."""
    return in_words(micros / 1e6, currency, cents=True)


def percent(share: float, digits: int = 1) -> str:
    """0.123 → 12.3 %."""
    return f"{100 * share:.{digits}f} %"


def moment(when: str | float, zone: str = "") -> str:
    """A moment for people, ISO 8601 or epoch seconds: 26 Nov 2026, 10:15 UTC, or as the clocks of `zone` show it."""
    at = dt.datetime.fromisoformat(when) if isinstance(when, str) else dt.datetime.fromtimestamp(when, dt.UTC)
    at = at.astimezone(zoneinfo.ZoneInfo(zone) if zone else dt.UTC)
    return f"{at.day} {at:%b %Y, %H:%M} {f'in {zone}' if zone else 'UTC'}"


def factor(value: float) -> str:
    """1.5 → ×1.50."""
    return f"×{value:.2f}"


def words(name: str) -> str:
    """account_cap → account cap."""
    return name.replace("_", " ")
