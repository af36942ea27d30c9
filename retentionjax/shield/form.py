"""The form of a message: what its channel asks for, how loud it is, what was left over in it."""

import functools
import itertools
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from retentionjax.shield.brief import Brief
from retentionjax.shield.reading import Reading, blanked, fold
from retentionjax.shield.rules import Rules
from retentionjax.shield.sieve import Guarded
from retentionjax.shield.verdict import Finding

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€\f")
_GSM = _BASIC | _EXTENDED


_NOT_BASIC = str.maketrans("áíóúÁÍÓÚ", "aiouAIOU")


def basic(text: str) -> str:
    """`text` without the accents that the GSM alphabet lacks: with one a segment holds 70 characters, not 160."""
    return text.translate(_NOT_BASIC)


@dataclass(frozen=True)
class SegmentCount:
    """What a text takes."""

    alphabet: Literal["gsm", "ucs2"]
    units: int
    """Septets, or UTF-16 code units."""
    segments: int


def measure(text: str) -> SegmentCount:
    """Alphabet, units and segments of a short message; a character of two units is never split over segments."""
    gsm = _GSM.issuperset(text)
    if gsm:
        sizes = [1] * len(text) if _EXTENDED.isdisjoint(text) else [2 if each in _EXTENDED else 1 for each in text]
    else:
        sizes = [2 if ord(each) > 0xFFFF else 1 for each in text]
    single, part = (160, 153) if gsm else (70, 67)
    units = sum(sizes)
    return SegmentCount("gsm" if gsm else "ucs2", units, 1 if units <= single else _parts(sizes, part))


def _parts(sizes: list[int], part: int) -> int:
    parts, used = 1, 0
    for size in sizes:
        if used + size > part:
            parts, used = parts + 1, 0
        used += size
    return parts


_RESIDUE = Guarded(
    r"\{\{?[^{}\n]{0,40}\}?\}|\{%|%\}|\[[^\]\n]{1,40}\]|<\|[^|>]{0,30}\|>|</?s>|\[/?INST\]|%\((?:\w+)\)s"
    r"|%[sd](?!\w)|\$\{?[A-Za-z_]\w+\}?"
    r"|(?<![\w@./?&=-])[a-z]+_[a-z_]+(?![\w@]|\.\w)|(?<![\w@./?&=-])[a-z]\w*=\w"
    r"|_{3,}|(?<!\w)#[A-Za-z]\w+|%[A-Z_]{2,}%|\b(?:None|NaN|nan|null|NULL|undefined|N/A|TODO|TBD|XXX+)\b"
    r"|(?i:\b(?:lorem ipsum|insert (?:name|offer|link|date)"
    r"|(?:hi|hello|hey|dear|thanks|thank you|morning|afternoon|evening|day|welcome|customer|there),?"
    r" (?:your|first|last)[_ ]name|your_name|first_name|customer[_ ]name"
    r"|company name|brand name|placeholder)\b)|\b(?:Your|First|Last|Customer) Name\b"
    r"|[{}\[\]|\\]"
)
_MENU = re.compile(r"^[A-Z][\w' -]{2,30}(?: \| (?:[A-Z][\w' -]{2,30}|[\w-]+(?:\.[\w-]+)+/?[\w/.-]*))+$", re.MULTILINE)
"""A footer: `Unsubscribe | Manage preferences`, `Unsubscribe | northwind.example/unsubscribe`."""
_HTML = Guarded(r"</?[A-Za-z!][^<>\n]{0,80}/?>|&(?:#\d{1,6}|#x[0-9A-Fa-f]{1,5}|[A-Za-z]{2,8});")
_MARKDOWN = Guarded(r"\*\*|__|~~|```|(?<![^\n])#{1,6} |(?<![^\n])\s*[*+-] |\]\(")
_ENDED = re.compile(r"[.!?:)\"'”’…]$|\w/?$")
_HANGING = re.compile(r"\b(?:and|or|the|a|to|of|for|with|your)$")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_WORD = re.compile(r"[^\W\d_]+")
_CAPITALS = re.compile(r"[^\W\d_a-z](?<![^\W\d_].)[^\W\d_a-z]+(?![^\W\d_])")
"""Words that may be all in capitals, but for those of one letter."""
_SHOUT = 4
"""Letters from which on a word in capitals is shouting rather than an abbreviation."""
_SHORT = 3
"""Names of so many letters and fewer are too short to stand for a sender."""
_KEYWORDS = re.compile(
    r"(?i:\b(?:reply|text|send|say|responda|responde|envie)(?: with| con)?(?: the words?| la palabra)?) "
    r"((?:['\"]?[A-Z]{2,}['\"]?(?:, | or | o |, or ))*['\"]?[^\W\d_]+)"
)
"""What is to be sent back, as in `Reply START`, `Reply TEA or COFFEE`."""
_WAY_OUT = re.compile(
    r"unsubscri|opt[ -]?(?:out|ing)|(?:stop|no more|fewer|leave)[^.!?]{0,30}(?:mail|list)s?\W[^.!?\n]{0,12}\S*$"
    r"|de baja[^.!?]*$"
)
"""What a line holds, up to a link of it, where the link is a way out."""
_STUTTER = re.compile(r"(?<!\w)(\w+)(?:[\s,.!?]+\1){2,}(?!\w)|([^\w\s])\2{3,}|([a-z])\3{3,}")
_OWN_STUTTER = re.compile(r"(?<!\w)(\w+)(?:[\s,.!?]+\1)+(?!\w)|\w*([a-z])\2{3,}\w*")
"""Where a name says a word or a letter several times: `Pizza Pizza`, `Brrrrew`."""
_DOUBLED = frozenset((
    "bye", "blah", "chop", "ding", "dot", "far", "go", "ha", "had", "hush", "knock", "long", "many", "much",
    "night", "no", "now", "please", "really", "ring", "so", "that", "there", "tut", "si", "very", "well", "wink",
    "woof", "yum", "muy", "ya",
))  # fmt: skip
"""Words that are said twice on purpose."""
_TOKEN = re.compile(r"[\w%$']+")
_GRAM = 6
"""Number of words in a row that may be said only once."""
_CLAUSES = re.compile(r"[.!?,:;\n]+")
_CLAUSE = 4
"""A clause with so many spaces may be said once."""


def find(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    """Everything that is wrong with the message's form."""
    if not reading.folded.strip():
        yield Finding("text.empty", 0, len(reading.text), "the message is empty")
        return
    yield from _channel(reading, brief, rules)
    yield from _residue(reading)
    yield from _loudness(reading, brief, rules)
    yield from _repetition(reading, brief)


@functools.lru_cache(64)
def keywords(text: str) -> tuple[tuple[int, str], ...]:
    """Start and word of everything that is to be sent back."""
    return tuple(
        (match.start(1) + word.start(), word.group())
        for match in _KEYWORDS.finditer(text)
        for word in _WORD.finditer(match[1])
    )


def _channel(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    phrasing = rules.phrasing(brief.language)
    channel, text, end = rules.channels.of(brief.channel), reading.text, len(reading.text)
    if channel.segments:
        size = measure(text)
        if size.segments > (phrasing.segments or channel.segments) or size.units > channel.characters:
            yield Finding("channel.length", 0, end, f"{size.units} {size.alphabet} units, {size.segments} segments")
    elif end > channel.characters:
        yield Finding("channel.length", channel.characters, end, f"{end} characters; allowed: {channel.characters}")
    if not _names(text, brief.sender.name):
        yield Finding("channel.sender", 0, 0, f"the sender, {brief.sender.name}, is not named")
    if not phrasing.opt_out.sieves[brief.channel].holds(reading.folded):
        yield Finding("channel.opt_out", end, end, "the way to opt out is missing")
    for _, match in phrasing.other_opt_out.sieves[brief.channel].found(reading.folded):
        yield reading.found("channel.other_opt_out", match, "the way to opt out of another channel")
    told = phrasing.accept.sieves[brief.channel].holds(reading.folded) or _leads_on(reading.folded, brief)
    if not brief.offer.is_none and not told:
        yield Finding("offer.accept", end, end, "how to take the offer is not said")


def _leads_on(text: str, brief: Brief) -> bool:
    """Whether a link to the sender leads elsewhere than out of its mails."""
    links = brief.sender.links.finditer(text)
    return any(not _WAY_OUT.search(text, text.rfind("\n", 0, match.start()) + 1, match.end()) for match in links)


def _names(text: str, sender: str) -> bool:
    """Whether the sender is named, or by the first words of its name where a text begins or ends: `Harbor: …`."""
    if sender.removeprefix("The ").casefold() in text.casefold():
        return True
    words = sender.split()
    runs = [" ".join(words[:end]) for end in range(1, len(words))]
    short = "|".join(re.escape(run) for run in runs if len(run) > _SHORT) or r"(?!)"
    shortened = rf"(?:^|\n)(?:{short})(?:[:,!]|\s*$|\n)|(?<!\w)(?:{short}) here(?!\w)"
    return re.search(shortened, text) is not None


def _residue(reading: Reading) -> Iterator[Finding]:
    text = reading.text
    for match in _HTML.finditer(text):
        yield Finding("text.html", *match.span(), f"markup: {match.group()!r}")
    for match in _RESIDUE.finditer(text):
        if match.group() == "|" and any(menu.start() <= match.start() < menu.end() for menu in _MENU.finditer(text)):
            continue
        yield Finding("text.residue", *match.span(), f"left over from a template: {match.group()!r}")
    for match in _MARKDOWN.finditer(text):
        yield Finding("text.markdown", *match.span(), f"emphasis: {match.group()!r}")
    said = text.rstrip()
    if not _ENDED.search(said[-2:]) or _HANGING.search(said[-6:]):
        yield Finding("text.unfinished", len(text), len(text), "the last sentence does not end")


def _loudness(reading: Reading, brief: Brief, rules: Rules) -> Iterator[Finding]:
    text = reading.text
    marks = [mark.start() for mark in re.finditer("[!！]", text)]
    allowed = rules.channels.of(brief.channel).exclamations
    if len(marks) > allowed or re.search(r"[!！?？]\s*[!！]|[!！]\s*[?？]", text):
        yield Finding(
            "text.exclamation", marks[0], marks[-1] + 1, f"{len(marks)} exclamation marks; allowed: {allowed}"
        )
    asked = {word.casefold() for _, word in keywords(text)}
    own = _words(brief.own_words)
    known = (asked, rules.phrasing(brief.language).words.sets["acronyms"], own, ("https",))
    links = [reading.span(*match.span()) for match in brief.sender.links.finditer(reading.folded)]
    loud = [
        match for match in _CAPITALS.finditer(text)
        if match.group().isupper() and not any(match.group().casefold() in some for some in known)
        and not any(start <= match.start() < end for start, end in links)
    ]  # fmt: skip
    if any(len(match.group()) >= _SHOUT for match in loud) or len(loud) > 2:
        yield Finding("text.caps", loud[0].start(), loud[-1].end(), f"shouting: {loud[0].group()!r}")
    pictures = list(_EMOJI.finditer(text))
    if len(pictures) > 2 or (pictures and brief.tone == "formal"):
        yield Finding("text.emoji", pictures[0].start(), pictures[-1].end(), f"{len(pictures)} pictures")


@functools.lru_cache(1024)
def _words(said: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(" ".join(said)))


def _repetition(reading: Reading, brief: Brief) -> Iterator[Finding]:
    """Words said three times in a row, a sentence said twice, six words in a row said twice."""
    text = reading.folded
    others = _without_own_stutter(text, brief)
    for match in _STUTTER.finditer(others):
        own = others[match.start()] != text[match.start()]
        if not own and (not re.fullmatch(r"[-=_.\s]+", match.group()) or len(match.group()) > 6):
            yield reading.found("text.repetition", match, "said over and over")
    words = [(match.group(), match.start()) for match in _TOKEN.finditer(text)]
    said = [word for word, _ in words]
    grams = zip(*(said[shift:] for shift in range(_GRAM)), strict=False)
    start = _first_repeated(list(grams)) if len(said) - len(set(said)) >= _GRAM else None
    if start is not None:
        where = words[start][1]
        yield reading.finding(
            "text.repetition", where, len(text), f"said twice: {' '.join(said[start : start + _GRAM])!r}"
        )
    for (word, _), (other, begin), (third, place) in zip(words, words[1:], words[2:], strict=False):
        if other != third or word == other or others[begin] != text[begin]:
            continue
        doubled = len(other) > 1 and other.isalpha() and other not in _DOUBLED
        if doubled and text[begin - 1 : begin] + text[begin + len(other) : place] == "  " and text[begin - 2].isalnum():
            yield reading.finding("text.repetition", begin, place + len(third), f"said twice: {third!r}")
    clauses = [each.strip() for each in _CLAUSES.split(text) if each.count(" ") >= _CLAUSE]
    again = _first_repeated(clauses)
    if again is not None:
        where = text.rindex(clauses[again])
        yield reading.finding("text.repetition", where, where + len(clauses[again]), "a clause said again")


def _without_own_stutter(text: str, brief: Brief) -> str:
    """`text` with what sender, customer, facts and offer say several times themselves blanked out, as `Pizza Pizza`."""
    for said in itertools.chain.from_iterable(map(_stutters, brief.own_words)):
        text = blanked(text, said)
    return text


@functools.lru_cache(4096)
def _stutters(words: str) -> tuple[str, ...]:
    return tuple(match.group() for match in _OWN_STUTTER.finditer(fold(words)))


def _first_repeated(items: Sequence[Hashable]) -> int | None:
    """Position of the first item that occurs again."""
    if len(set(items)) == len(items):
        return None
    return next(index for index, item in enumerate(items) if item in items[index + 1 :])
