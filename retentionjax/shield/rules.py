"""The rules as data: typed, versioned, read from YAML; `rules.yaml` and `rules.<language>.yaml` hold the ones in force.

An unknown or missing key, a wrong type, a pattern that is no regular expression: ConfigError naming the key.
"""

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import cattrs
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.errors import ConfigError
from retentionjax.shield.brief import CHANNELS, TONES, Brief, Channel, Tone
from retentionjax.shield.lexicon import Language
from retentionjax.shield.offer import Kind
from retentionjax.shield.reading import WORD, fold
from retentionjax.shield.verdict import Severity

FORMAT = 2
DEFAULT = Path(__file__).with_name("rules.yaml")

CHECKS = (
    "text.empty", "text.invisible", "text.homoglyph", "text.obfuscated", "text.residue", "text.html", "text.markdown",
    "text.caps", "text.exclamation", "text.emoji", "text.repetition", "text.unfinished", "text.language", "text.word",
    "text.purpose", "text.phrase", "channel.length", "channel.sender", "channel.opt_out", "channel.other_opt_out",
    "offer.percent", "offer.price", "offer.duration", "offer.date", "offer.missing", "offer.two", "offer.accept",
    "facts.tenure", "facts.service", "facts.number", "name.wrong", "pii.card", "pii.ssn", "pii.email", "pii.phone",
    "pii.iban", "pii.digits", "link.domain", "link.shortener", "link.insecure", "tone.profanity",
)  # fmt: skip
"""Rules that are code; the YAML gives each its severity. Phrase rules are data alone."""


@dataclass(frozen=True)
class ChannelRules:
    """What one channel asks of its messages, in any language."""

    characters: int
    """Longest message, in characters (SMS: in units of its alphabet, see `segments`)."""
    exclamations: int
    """Most exclamation marks."""
    segments: int = 0
    """Most segments of a short message; 0: not counted."""


@dataclass(frozen=True)
class Wordings:
    """Patterns of the folded text, by channel."""

    sms: tuple[str, ...]
    email: tuple[str, ...]
    push: tuple[str, ...]

    @functools.cached_property
    def regexes(self) -> Mapping[Channel, re.Pattern[str]]:
        """Any of the patterns, compiled."""
        return {channel: re.compile("|".join(f"(?:{each})" for each in getattr(self, channel))) for channel in CHANNELS}


@dataclass(frozen=True)
class Channels:
    """The three channels."""

    sms: ChannelRules
    email: ChannelRules
    push: ChannelRules

    def of(self, channel: Channel) -> ChannelRules:
        """The rules of one channel."""
        rules: ChannelRules = getattr(self, channel)
        return rules


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
    def harmless_regexes(self) -> tuple[re.Pattern[str], ...]:
        """The harmless patterns, each for itself: where they overlap, none may hide what another allows."""
        return tuple(re.compile(rf"(?<!\w)(?:{each})(?!\w)") for each in self.harmless)

    @functools.cached_property
    def only_with_regex(self) -> re.Pattern[str] | None:
        """All patterns of `only_with` as one."""
        return _any(self.only_with)

    def applies(self, brief: Brief) -> bool:
        """Whether messages for `brief` must keep it."""
        offered = brief.offer.kinds.isdisjoint(self.unless_offered) and not (self.of_offers and brief.offer.is_none)
        return offered and brief.channel in self.channels and brief.tone in self.tones


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

    @functools.cached_property
    def services_regex(self) -> re.Pattern[str]:
        """Any of the services, as words."""
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, self.services))})(?!\w)")

    @functools.cached_property
    def sets(self) -> Mapping[str, frozenset[str]]:
        """The lists as sets, by name."""
        return {key: frozenset(getattr(self, key)) for key in ("profanity", "names", "openers", "acronyms", "approved")}


@dataclass(frozen=True)
class Purposes:
    """What a sentence may be for: thanking, offering, saying how to accept, asking, helping, saying goodbye."""

    stems: tuple[str, ...]
    """Beginnings of words."""
    patterns: tuple[str, ...] = ()

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        """Any of them."""
        return re.compile("|".join((rf"(?<!\w)(?:{'|'.join(map(re.escape, self.stems))})", *self.patterns)))


@dataclass(frozen=True)
class Phrasing:
    """What messages in one language may say, and must."""

    opt_out: Wordings
    """One of which a message must hold."""
    other_opt_out: Wordings
    """The ways out of other channels, which a message may not name."""
    accept: Wordings
    """One of which a message that offers something must hold, or a link."""
    purposes: Purposes
    phrases: tuple[PhraseRule, ...]
    words: Words
    segments: int = 0
    """Most segments of a short message; 0: as its channel says."""
    titles: tuple[str, ...] = ()
    """Patterns behind which a capital begins the name of a work or of a button."""

    def __post_init__(self) -> None:
        """Raises ConfigError for an id given twice, a broken pattern and a rule without wordings."""
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
        for name, channel in itertools.product(("opt_out", "other_opt_out", "accept"), CHANNELS):
            _compiled(getattr(getattr(self, name), channel), f"{name}.{channel}")

    @functools.cached_property
    def suspects(self) -> Callable[[str], bool]:
        """Whether a folded text holds any pattern of any rule: one search is quicker than one a rule, most texts hold
        none, and a wording goes to many customers whose names are blanked out."""
        regex = _any(tuple(each for rule in self.phrases for each in rule.patterns))
        return functools.lru_cache(1024)(lambda text: regex is not None and regex.search(text) is not None)

    @functools.cached_property
    def title_regex(self) -> re.Pattern[str]:
        """What ends before a name that is a title's, with the title's own words so far."""
        behind = "|".join(self.titles or ("(?!)",))
        return re.compile(rf"(?<!\w)(?i:{behind}) [\"']?(?:[A-Z][\w'&-]* (?:(?:of|the|and|in|to) )*)*$")

    @functools.cached_property
    def index(self) -> Mapping[str, tuple[tuple[PhraseRule, tuple[str, ...]], ...]]:
        """First word → the rules and the whole sequences of words that begin with it, the longest first."""
        found: dict[str, list[tuple[PhraseRule, tuple[str, ...]]]] = {}
        for rule in self.phrases:
            for words in rule.words:
                sequence = tuple(WORD.findall(fold(words)))
                found.setdefault(sequence[0], []).append((rule, sequence))
        return {first: tuple(sorted(each, key=lambda pair: -len(pair[1]))) for first, each in found.items()}


@dataclass(frozen=True)
class QuietHours:
    """Local hours within which people may be contacted: ranges [from, to), 21.5 for 21:30; none on a day left empty."""

    weekdays: tuple[tuple[float, float], ...]
    saturday: tuple[tuple[float, float], ...]
    sunday: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ContactRules:
    """Whom a message may reach, and when."""

    countries: Mapping[str, QuietHours]
    """Hours by country (ISO 3166-1 alpha-2)."""
    regions: Mapping[str, QuietHours]
    """Stricter hours by region (`US-FL`, ISO 3166-2); the strictest of country and region counts."""
    subdivisions: Mapping[str, tuple[str, ...]]
    """The regions of each country whose regions differ; elsewhere regions are not looked at."""
    region_zones: Mapping[str, tuple[str, ...]]
    """Time zones a region lies in."""
    country_zones: Mapping[str, tuple[str, ...]]
    cap: int
    """Most contacts within `window_days`."""
    window_days: int


@dataclass(frozen=True)
class Rules:
    """Everything the shield enforces."""

    format: int
    version: str
    channels: Channels
    checks: Mapping[str, Severity]
    contact: ContactRules
    shorteners: tuple[str, ...]
    function_words: Mapping[str, tuple[str, ...]]
    """Language → small words that are frequent in it and in few others: they tell in which language a text is."""
    languages: Mapping[Language, Phrasing]
    """Each from the file `rules.<language>.yaml` beside this one."""

    def __post_init__(self) -> None:
        """Raises ConfigError for another format, and for checks that do not exist or have no severity."""
        if self.format != FORMAT:
            raise ConfigError(f"format is {self.format}; allowed: {FORMAT}")
        if unknown := sorted(set(self.checks) - set(CHECKS)):
            raise ConfigError(f"checks.{unknown[0]}: unknown key; allowed: {', '.join(CHECKS)}")
        if missing := sorted(set(CHECKS) - set(self.checks)):
            raise ConfigError(f"checks.{missing[0]} is missing; allowed: {', '.join(get_args(Severity))}")
        if not self.languages:
            raise ConfigError("languages is empty; at least one is wanted")
        if silent := sorted(set(self.languages) - set(self.function_words)):
            raise ConfigError(f"function_words: none of {silent[0]}, a language of these rules")
        if lost := sorted(set(self.contact.countries) - set(self.contact.country_zones)):
            raise ConfigError(f"contact.country_zones: no zone of {lost[0]}, a country of these rules")

    def phrasing(self, language: Language) -> Phrasing:
        """The rules of one language. Raises ConfigError for one that these rules do not speak, and names theirs."""
        if language not in self.languages:
            raise ConfigError(f"no rules for the language {language!r}; allowed: {', '.join(self.languages)}")
        return self.languages[language]

    @functools.cached_property
    def foreign_words(self) -> Mapping[Language, Mapping[str, frozenset[str]]]:
        """Language spoken → every other language → its `function_words` that the spoken one lacks."""
        small = {language: frozenset(words) for language, words in self.function_words.items()}
        return {
            spoken: {other: words - small[spoken] for other, words in small.items() if other != spoken}
            for spoken in self.languages
        }

    @functools.cached_property
    def severities(self) -> Mapping[tuple[Language, str], Severity]:
        """(language, id) of every rule to its severity."""
        return {
            (language, name): severity
            for language, phrasing in self.languages.items()
            for name, severity in (*self.checks.items(), *((rule.id, rule.severity) for rule in phrasing.phrases))
        }

    def approving(self, texts: Iterable[str], language: Language = "en") -> "Rules":
        """These rules, under which a model may also use the words of `texts`, which somebody has approved."""
        phrasing = self.phrasing(language)
        words = {word for text in texts for word in WORD.findall(fold(text))}
        approved = (*phrasing.words.approved, *sorted(words - phrasing.words.sets["approved"]))
        spoken = replace(phrasing, words=replace(phrasing.words, approved=approved))
        return replace(self, languages={**self.languages, language: spoken})


def load_rules(path: str | os.PathLike[str] | None = None) -> Rules:
    """The rules in a YAML file and those of its languages beside it, or the ones shipped.

    Raises ConfigError naming file and key that do not fit.
    """
    return _shipped() if path is None else _load(path)


@functools.cache
def _shipped() -> Rules:
    return _load(DEFAULT)


def _load(path: str | os.PathLike[str]) -> Rules:
    source = storage.as_path(path)
    content = _read(source)
    try:
        content["languages"] = {name: _read(language_file(source, name)) for name in content["languages"]}
        return _converter().structure(content, Rules)
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(cattrs.transform_error(error, format_exception=_words))}") from None
    except (ConfigError, TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"{source}: {error}") from None


def language_file(path: epath.Path, language: str) -> epath.Path:
    """Where the rules of a language stand: `rules.es.yaml` beside `rules.yaml`."""
    return path.with_name(f"{path.stem}.{language}.yaml")


def _read(source: epath.Path) -> Any:
    try:
        return yaml.load(source.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader, only stricter
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _converter() -> cattrs.Converter:
    """No guessing: unknown keys and values of another type are refused rather than converted."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, bool, float):
        converter.register_structure_hook(kind, functools.partial(_exactly, kind))
    return converter


def _exactly(kind: type, value: Any, _: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        words = {str: "text", int: "a whole number", bool: "true or false", float: "a number"}
        raise ValueError(f"is {value!r}; {words[kind]} is wanted")
    return value


def _words(error: BaseException, _: Any) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)


def _any(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if patterns else None


def _compiled(patterns: tuple[str, ...], where: str) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"{where}: {pattern!r} is no regular expression: {error}") from None
