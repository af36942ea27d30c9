"""What may be said in one language, as data: wordings, word lists, and the rules of phrases."""

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from retentionjax.errors import ConfigError
from retentionjax.shield.brief import CHANNELS, TONES, Brief, Channel, Tone
from retentionjax.shield.offer import Kind
from retentionjax.shield.reading import WORD, fold
from retentionjax.shield.sieve import Guarded, Sieve
from retentionjax.shield.verdict import Severity

_RUN = re.compile(r"\w+")
CHECKS = (
    "text.empty", "text.invisible", "text.homoglyph", "text.obfuscated", "text.residue", "text.html", "text.markdown",
    "text.caps", "text.exclamation", "text.emoji", "text.repetition", "text.unfinished", "text.language", "text.word",
    "text.purpose", "text.phrase", "text.suspect", "channel.length", "channel.sender", "channel.opt_out",
    "channel.other_opt_out", "offer.percent", "offer.price", "offer.number", "offer.duration", "offer.date",
    "offer.missing", "offer.two", "offer.accept", "facts.tenure", "facts.service", "facts.number", "name.wrong",
    "name.unknown", "pii.card", "pii.ssn", "pii.email",
    "pii.phone", "pii.iban", "pii.digits", "link.domain", "link.shortener", "link.insecure", "tone.profanity",
)  # fmt: skip
"""Rules that are code; the YAML gives each its severity. Phrase rules are data alone."""


@dataclass(frozen=True)
class Wordings:
    """Patterns of the folded text, by channel."""

    sms: tuple[str, ...]
    email: tuple[str, ...]
    push: tuple[str, ...]

    @functools.cached_property
    def sieves(self) -> Mapping[Channel, Sieve]:
        """The patterns, of which any counts."""
        return {channel: Sieve([getattr(self, channel)], of_words=False) for channel in CHANNELS}


@dataclass(frozen=True)
class PhraseRule:
    """Wordings that may not occur in the folded text, apart from the names, plans and words that are one's own."""

    id: str
    severity: Severity
    why: str
    words: tuple[str, ...] = ()
    """Words, and phrases of several words, as they are written."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, matched at word boundaries."""
    harmless: tuple[str, ...] = ()
    """Patterns of wordings within which nothing counts: `rates may apply`."""
    only_with: tuple[str, ...] = ()
    """Patterns of which the same sentence must hold one for anything to count: `dinner` is promised, or eaten."""
    channels: tuple[Channel, ...] = CHANNELS
    tones: tuple[Tone, ...] = TONES
    unless_offered: tuple[Kind, ...] = ()
    """Kinds of offer (discount, amount, words) under which the wordings are no fault."""
    of_offers: bool = False
    """Whether it only binds a message that makes an offer."""
    apart_from_offer: bool = False
    """Whether a clause that states the offer may hold the wordings."""

    @functools.cached_property
    def regex(self) -> re.Pattern[str] | None:
        """All patterns as one."""
        return _any(self.patterns)

    @functools.cached_property
    def harmless_regexes(self) -> tuple[Guarded, ...]:
        """The harmless patterns, each for itself: where they overlap, none may hide what another allows."""
        return tuple(Guarded(rf"(?<!\w)(?:{each})(?!\w)") for each in self.harmless)

    @functools.cached_property
    def only_with_regex(self) -> re.Pattern[str] | None:
        """All patterns of `only_with` as one."""
        return _any(self.only_with)

    def applies(self, brief: Brief) -> bool:
        """Whether messages for `brief` must keep it."""
        offered = brief.offer.kinds.isdisjoint(self.unless_offered) and not (self.of_offers and brief.offer.is_none)
        return offered and brief.channel in self.channels and brief.tone in self.tones


Hit = tuple[PhraseRule, int, int, str]
"""A rule, the place in the folded text that meets it, and the words there."""


@dataclass(frozen=True)
class Words:
    """Word lists, lower case."""

    profanity: tuple[str, ...]
    profanity_stems: tuple[str, ...]
    """A word that begins with one of these is profane."""
    names: tuple[str, ...]
    """First names: one that is not the customer's own has no place in a message to her."""
    openers: tuple[str, ...]
    """Words that may stand where a name would, at the start of a sentence or after a greeting."""
    services: tuple[str, ...]
    """Services a customer may or may not have: one that no fact names is invented."""
    acronyms: tuple[str, ...]
    """Words that may stand in capitals."""
    approved: tuple[str, ...]
    """The words of approved texts, apart from what a brief holds: a model may use no other."""
    tiers: tuple[str, ...] = ()
    """Words that tell plans of one kind apart: beside the last word of hers, one that no fact names is another plan."""

    @functools.cached_property
    def services_regex(self) -> Guarded:
        """Any of the services, as words."""
        return Guarded(rf"(?<!\w)(?:{'|'.join(map(re.escape, self.services))})(?!\w)")

    @functools.cached_property
    def is_profane(self) -> Callable[[str], bool]:
        """Whether a folded word is profane; kept, for the words of messages are few."""
        profane = frozenset(self.profanity)
        return functools.lru_cache(1 << 14)(lambda word: word in profane or word.startswith(self.profanity_stems))

    @functools.cached_property
    def sets(self) -> Mapping[str, frozenset[str]]:
        """The lists as sets, by name."""
        return {key: frozenset(getattr(self, key)) for key in ("names", "openers", "acronyms", "approved")}


@dataclass(frozen=True)
class Purposes:
    """What a sentence may be for: thanking, offering, saying how to accept, asking, helping, saying goodbye."""

    stems: tuple[str, ...]
    """Beginnings of words."""
    patterns: tuple[str, ...] = ()

    @functools.cached_property
    def served(self) -> Callable[[str], bool]:
        """Whether a folded sentence serves any of them: most do by the beginning of a word, asked once of each word."""
        whole = tuple(each for each in self.stems if re.fullmatch(r"\w+", each))
        parted = "|".join(map(re.escape, sorted({*self.stems} - {*whole}))) or r"(?!)"
        begins = functools.lru_cache(1 << 14)(lambda word: word.startswith(whole))
        other = Sieve([(rf"(?<!\w)(?:{parted})", *self.patterns)], of_words=False)
        return functools.lru_cache(1 << 12)(
            lambda sentence: any(map(begins, _RUN.findall(sentence))) or other.holds(sentence)
        )


@dataclass(frozen=True)
class Strangers:
    """Patterns of what stands around a capital within a sentence where it is a stranger's name."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @functools.cached_property
    def regexes(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """What ends before the name, and what begins behind it."""
        return (
            re.compile(rf"(?<!\w)(?:{'|'.join(self.before or ('(?!)',))}) ?$"),
            re.compile(rf"(?:'s)? (?:{'|'.join(self.after or ('(?!)',))})(?!\w)"),
        )


@dataclass(frozen=True)
class Phrasing:
    """What messages in one language may say, and must."""

    opt_out: Wordings
    """Wordings, one of which a message must hold."""
    other_opt_out: Wordings
    """The ways out of other channels, which a message may not name."""
    accept: Wordings
    """Wordings, one of which a message that offers something must hold, or a link."""
    purposes: Purposes
    phrases: tuple[PhraseRule, ...]
    words: Words
    segments: int = 0
    """Most segments of a short message; 0: as its channel says."""
    strangers: Strangers = Strangers()
    titles: tuple[str, ...] = ()
    """Patterns behind which a capital begins the name of a work or of a button."""

    def __post_init__(self) -> None:
        """Raises ConfigError for an id given twice, a pattern that is broken or matches the empty text, and a rule
        without wordings."""
        for rule in self.phrases:
            if sum(each.id == rule.id for each in self.phrases) > 1 or rule.id in CHECKS:
                raise ConfigError(f"phrases: the id {rule.id!r} is given twice")
            _compiled((*rule.patterns, *rule.harmless, *rule.only_with), f"phrases[{rule.id}]")
            if wordless := [words for words in rule.words if not WORD.search(fold(words))]:
                raise ConfigError(f"phrases[{rule.id}]: {wordless[0]!r} holds no word")
            if not (rule.patterns or rule.words):
                raise ConfigError(f"phrases[{rule.id}] is empty; at least one of words and patterns is wanted")
        _compiled(self.purposes.patterns, "purposes")
        _compiled(self.titles, "titles")
        _compiled((*self.strangers.before, *self.strangers.after), "strangers")
        for name, channel in itertools.product(("opt_out", "other_opt_out", "accept"), CHANNELS):
            _compiled(getattr(getattr(self, name), channel), f"{name}.{channel}")

    @functools.cached_property
    def hits(self) -> Callable[[str], tuple[Hit, ...]]:
        """Every place of a folded text that meets a pattern, kept: a wording goes to many customers whose names are
        blanked out."""
        sieve = Sieve([rule.patterns for rule in self.phrases])

        @functools.lru_cache(1024)
        def hits(text: str) -> tuple[Hit, ...]:
            return tuple((self.phrases[rule], *match.span(), match.group()) for rule, match in sieve.found(text))

        return hits

    @functools.cached_property
    def title_regex(self) -> re.Pattern[str]:
        """What ends before a name that is a title's, with the title's own words so far."""
        behind = "|".join(self.titles or ("(?!)",))
        return re.compile(rf"(?<!\w)(?i:{behind}) [\"']?(?:[A-Z][\w'&-]* (?:(?:of|the|and|in|to) )*)*$")

    @functools.cached_property
    def listed(self) -> Callable[[str], Sequence[tuple[PhraseRule, list[str]]]]:
        """The rules and whole phrases that begin with a word, the longest first; kept, for most words begin none.

        A genitive counts as its word.
        """
        found: dict[str, list[tuple[PhraseRule, list[str]]]] = {}
        for rule in self.phrases:
            for words in rule.words:
                sequence = WORD.findall(fold(words))
                found.setdefault(sequence[0], []).append((rule, sequence))
        index = {first: tuple(sorted(each, key=lambda pair: -len(pair[1]))) for first, each in found.items()}
        return functools.lru_cache(1 << 14)(lambda word: index.get(word) or index.get(word.removesuffix("'s")) or ())


def _any(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if patterns else None


def _compiled(patterns: tuple[str, ...], where: str) -> None:
    for pattern in patterns:
        if fault := _fault(pattern):
            raise ConfigError(f"{where}: {pattern!r} {fault}")


@functools.lru_cache(1 << 12)
def _fault(pattern: str) -> str:
    """What makes a pattern unfit to stand among others; empty for none."""
    try:
        regex = re.compile(f"(?!)|{pattern}")
    except re.error as error:
        return f"is no regular expression: {error.msg}"
    return "matches the empty text; at least one character is wanted" if regex.search("") else ""
