"""Links: only https, only to the sender's own domains, never through a shortener. Whatever has a dot is a link."""

import re
from collections.abc import Iterator

from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import BLANK, Reading
from retentionjax.shield.rules import Rules
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_SPOKEN_TLD = "com|net|org|io|co|ly|info|biz|shop|xyz|link|click|online|site|store|app|zip|deals|ru|cn|example|test"
LINK = Guarded(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,12}://|https?:[/\\]*(?=[\w\[])|(?<![:/\w])//(?=[\w\[])|www\.)(?P<rest>[^\s<>\"']+)"
    r"|(?<![\w@-])(?<![\w-]\.)(?<!\d/)(?P<bare>(?:[\w-]{1,63}\.){1,6}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]+))(?![\w@])(?P<path>[/:?][^\s<>\"']*)?"
    r"|(?<![\d.])(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?![\d.])"
    r"|(?P<other>(?:javascript|data|mailto|tel|sms):\S+)"
    r"|(?<!\w)(?P<spoken>[\w-]+ ?(?:\(dot\)|\[dot\]|\(\.\)) ?[^\W\d_]{2,}"
    rf"|[\w-]+,? (?:dot|\.),? (?:{_SPOKEN_TLD})|[\w-]+(?:,[\w-]+)*,(?:com|net|org|info|io|example))(?![\w'])",
    sign=r"[./:,](?=\S)|dot| \. ",
)
_ONWARD = re.compile(r"[/?&=#](?:https?:|www\.|https?%3a|//|%2f%2f)")
"""Another link within the path of a link."""
_SPARED = re.compile(rf"{BLANK}[{BLANK}/.,]*")
_PORT = re.compile(r"[^/?#:]*:(\d+)")


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """Every link that may not stand."""
    for match in LINK.finditer(reading.folded):
        host = _host(match)
        owned = brief.sender.owns_host(host)
        if owned and _is_disguised(host, match, reading):
            yield reading.found("link.domain", match, "a link that only looks like the sender's")
        elif _ONWARD.search(match["rest"] or match["path"] or ""):
            yield reading.found("link.domain", match, "a link that leads on to another")
        elif _SPARED.fullmatch(reading.plain, *match.span()):
            continue  # the sender's own name, plan or link
        if any(host == each or host.endswith("." + each) for each in rules.shorteners):
            yield reading.found("link.shortener", match, "a shortened link")
        elif not owned:
            yield reading.found("link.domain", match, f"links may go to {', '.join(brief.sender.domains)}")
        elif match["scheme"] not in (None, "https://", "www."):
            yield reading.found("link.insecure", match, "a link that is not https")
        elif (port := _PORT.match(match["rest"] or match["path"] or "")) and port[1] != "443":
            yield reading.found("link.insecure", match, "a link to another port than that of https")


def _host(match: re.Match[str]) -> str:
    """The host a browser would visit; empty where that cannot be told, which no sender owns."""
    if match["rest"] is None:
        return (match["bare"] or "").strip(".")
    authority = re.split(r"[/?#]", match["rest"], maxsplit=1)[0]
    if "@" in authority or "\\" in authority:  # programs differ in what they take the host to be
        return ""
    return authority.partition(":")[0].rstrip(".,;!)")


def _is_disguised(host: str, match: re.Match[str], reading: Reading) -> bool:
    """Whether the host is another one as it is written: nörthwind.example is read as northwind.example."""
    start = match.start("bare" if match["rest"] is None else "rest")
    first, last = reading.span(start, start + len(host))
    return reading.text[first:last].lower() != host
