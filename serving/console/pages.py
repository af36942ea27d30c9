"""Pages: Jinja2 with everything escaped, and the words for numbers."""

import datetime as dt
import hashlib
import zoneinfo
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

HERE = Path(__file__).parent
STATIC = HERE / "static"


def page(template: str, *, status: int = 200, **values: Any) -> Response[str]:
    """A page or a part of one, as HTML."""
    text = _environment().get_template(template).render(**values)
    return Response(text, status_code=status, media_type="text/html; charset=utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(dollars=dollars, percent=percent, factor=factor, words=words)
    environment.globals.update(asset=asset, moment=moment)
    return environment


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the file, so browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def dollars(micros: float) -> str:
    """2_500_000 → $2.50."""
    amount = micros / 1e6
    return f"{'−' if amount < 0 else ''}${abs(amount):,.2f}"


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
