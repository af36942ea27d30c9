"""The rules as data: typed, versioned, read from YAML; `rules.yaml` beside this file holds the ones in force.

An unknown or missing key, a wrong type, a pattern that is no regular expression: ConfigError naming the key.
"""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs
import yaml

from retentionjax import storage
from retentionjax.errors import ConfigError
from retentionjax.shield.brief import Channel, Tone
from retentionjax.shield.offer import Kind
from retentionjax.shield.verdict import Severity

FORMAT = 1
DEFAULT = Path(__file__).with_name("rules.yaml")

CHECKS = (
    "text.empty", "text.invisible", "text.homoglyph", "text.obfuscated", "text.residue", "text.html", "text.markdown",
    "text.caps", "text.exclamation", "text.emoji", "text.repetition", "text.unfinished",
    "channel.length", "channel.sender", "channel.opt_out", "channel.other_opt_out",
    "offer.percent", "offer.price", "offer.duration", "offer.date", "offer.missing", "offer.two",
    "facts.tenure", "facts.service", "facts.number", "name.wrong",
    "pii.card", "pii.ssn", "pii.email", "pii.phone", "pii.iban", "pii.digits",
    "link.domain", "link.shortener", "link.insecure", "tone.profanity",
)  # fmt: skip
"""Rules that are code; the YAML gives each its severity. Phrase rules are data alone."""


@dataclass(frozen=True)
class ChannelRules:
    """What one channel asks of its messages."""

    characters: int
    """Longest message, in characters (SMS: in units of its alphabet, see `segments`)."""
    exclamations: int
    """Most exclamation marks."""
    opt_out: tuple[str, ...]
    """Patterns one of which the folded text must hold."""
    segments: int = 0
    """Most segments of a short message; 0: not counted."""

    @functools.cached_property
    def opt_out_regexes(self) -> tuple[re.Pattern[str], ...]:
        """`opt_out`, compiled."""
        return tuple(map(re.compile, self.opt_out))


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
    """Wordings that may not occur: regular expressions over the folded text, at word boundaries."""

    id: str
    severity: Severity
    why: str
    patterns: tuple[str, ...]
    channels: tuple[Channel, ...] = ("sms", "email", "push")
    tones: tuple[Tone, ...] = ("warm", "formal", "brief")
    unless_offered: tuple[Kind, ...] = ()
    """Kinds of offer (discount, amount, words) under which the wordings are no fault."""
    spares_name: bool = False
    """The customer's own first name is no match (a Christian may be called by his name)."""

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        """All patterns as one."""
        return re.compile(rf"(?<!\w)(?:{'|'.join(self.patterns)})(?!\w)")


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
    shorteners: tuple[str, ...]

    @functools.cached_property
    def services_regex(self) -> re.Pattern[str]:
        """Any of the services, as words."""
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, self.services))})(?!\w)")

    @functools.cached_property
    def sets(self) -> Mapping[str, frozenset[str]]:
        """The lists as sets, by name."""
        keys = ("profanity", "names", "openers", "acronyms", "shorteners")
        return {key: frozenset(getattr(self, key)) for key in keys}


@dataclass(frozen=True)
class QuietHours:
    """Local hours within which people may be contacted: [earliest, latest)."""

    earliest: int
    latest: int
    sunday_earliest: int
    sunday_latest: int


@dataclass(frozen=True)
class ContactRules:
    """Whom a message may reach, and when."""

    default: QuietHours
    regions: Mapping[str, QuietHours]
    """Stricter hours by region (`US-FL`); the strictest of default and region counts."""
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
    phrases: tuple[PhraseRule, ...]
    words: Words
    contact: ContactRules

    def __post_init__(self) -> None:
        """Raises ConfigError for checks that do not exist or have no severity, twice-given ids and broken patterns."""
        if self.format != FORMAT:
            raise ConfigError(f"format is {self.format}; allowed: {FORMAT}")
        if unknown := sorted(set(self.checks) - set(CHECKS)):
            raise ConfigError(f"checks.{unknown[0]}: unknown key; allowed: {', '.join(CHECKS)}")
        if missing := sorted(set(CHECKS) - set(self.checks)):
            raise ConfigError(f"checks.{missing[0]} is missing; allowed: block, warn, off")
        ids = [rule.id for rule in self.phrases]
        for rule in self.phrases:
            if ids.count(rule.id) > 1 or rule.id in self.checks:
                raise ConfigError(f"phrases: the id {rule.id!r} is given twice")
            _compiled(rule.patterns, f"phrases[{rule.id}]")
        for name in ("sms", "email", "push"):
            _compiled(getattr(self.channels, name).opt_out, f"channels.{name}.opt_out")

    @functools.cached_property
    def severities(self) -> Mapping[str, Severity]:
        """Every rule's id to its severity."""
        return {**self.checks, **{rule.id: rule.severity for rule in self.phrases}}


def load_rules(path: str | os.PathLike[str] | None = None) -> Rules:
    """The rules in a YAML file, or the ones shipped. Raises ConfigError naming file and key that do not fit."""
    return _shipped() if path is None else _load(path)


@functools.cache
def _shipped() -> Rules:
    return _load(DEFAULT)


def _load(path: str | os.PathLike[str]) -> Rules:
    source = storage.as_path(path)
    try:
        content = yaml.load(source.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader, only stricter
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return _converter().structure(content, Rules)
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(cattrs.transform_error(error, format_exception=_words))}") from None
    except (ConfigError, TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"{source}: {error}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _converter() -> cattrs.Converter:
    """No guessing: unknown keys and values of another type are refused rather than converted."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, functools.partial(_exactly, kind))
    return converter


def _exactly(kind: type, value: Any, _: Any) -> Any:
    if type(value) is not kind:
        words = {str: "text", int: "a whole number", bool: "true or false"}
        raise ValueError(f"is {value!r}; {words[kind]} is wanted")
    return value


def _words(error: BaseException, _: Any) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)


def _compiled(patterns: tuple[str, ...], where: str) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"{where}: {pattern!r} is no regular expression: {error}") from None
    if not patterns:
        raise ConfigError(f"{where} is empty; at least one pattern is wanted")
