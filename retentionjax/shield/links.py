"""Links: only https, only to the sender's own domains, never through a shortener. Whatever has a dot is a link."""

import re
from collections.abc import Iterator

from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import Reading
from retentionjax.shield.rules import Rules
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_SPOKEN_TLD = "com|net|org|io|co|ly|info|biz|shop|xyz|link|click|online|site|store|app|zip|deals|ru|cn|example|test"
LINK = Guarded(
    r"(?P<scheme>[a-z][a-z0-9+.-]{1,12}://|www\.)(?P<rest>[^\s<>\"']+)"
    r"|(?<![\w@./-])(?P<bare>(?:[\w-]{1,63}\.){1,6}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]+))(?![\w@])(?P<path>[/:?][^\s<>\"']*)?"
    r"|(?<![\d.])(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?![\d.])"
    r"|(?P<other>(?:javascript|data|mailto|tel|sms):\S+)"
    r"|(?<!\w)(?P<spoken>[\w-]+ ?(?:\(dot\)|\[dot\]|\(\.\)) ?[^\W\d_]{2,}"
    rf"|[\w-]+,? (?:dot|\.),? (?:{_SPOKEN_TLD})|[\w-]+(?:,[\w-]+)*,(?:com|net|org|info|io|example))(?![\w'])",
    sign=r"[./:,](?=\S)|dot| \. ",
)
_ONWARD = re.compile(r"[/?&=#](?:https?:|www\.|https?%3a|//|%2f%2f)")
"""Another link within the path of a link."""


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """Every link that may not stand."""
    for match in LINK.finditer(reading.folded):
        if _ONWARD.search(match["rest"] or match["path"] or ""):
            yield reading.found("link.domain", match, "a link that leads on to another")
        elif reading.plain[match.start() : match.end()].strip("·/.,") == "":
            continue  # the sender's own name, plan or link
        host = _host(match)
        if any(host == each or host.endswith("." + each) for each in rules.shorteners):
            yield reading.found("link.shortener", match, "a shortened link")
        elif not brief.sender.owns_host(host):
            yield reading.found("link.domain", match, f"links may go to {', '.join(brief.sender.domains)}")
        elif match["scheme"] not in (None, "https://", "www."):
            yield reading.found("link.insecure", match, "a link that is not https")


def _host(match: re.Match[str]) -> str:
    """The host a browser would visit; empty where that cannot be told, which no sender owns."""
    if match["rest"] is None:
        return (match["bare"] or "").strip(".")
    authority = re.split(r"[/?#\\]", match["rest"], maxsplit=1)[0]
    if "@" in authority:
        return ""
    return authority.partition(":")[0].rstrip(".,;!)")
