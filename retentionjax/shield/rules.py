"""The rules as data: typed, versioned, read from YAML; `rules.yaml` and `rules.<language>.yaml` hold the ones in force.

An unknown or missing key, a wrong type, a pattern that is no regular expression: ConfigError naming the key.
"""

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cattrs
import yaml
from etils import epath

from retentionjax import storage
from retentionjax.errors import ConfigError
from retentionjax.shield.brief import Channel
from retentionjax.shield.lexicon import Language
from retentionjax.shield.phrasing import CHECKS, Phrasing
from retentionjax.shield.reading import WORD, fold
from retentionjax.shield.verdict import Severity

FORMAT = 4
DEFAULT = Path(__file__).with_name("rules.yaml")


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
    try:
        general = _read(source)
        names = _parsed(source.name, general)["languages"]
        return _structured(general, tuple((name, _read(language_file(source, name))) for name in names))
    except cattrs.BaseValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(cattrs.transform_error(error, format_exception=_words))}") from None
    except (ConfigError, TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"{source}: {error}") from None


@functools.lru_cache(maxsize=8)
def _structured(general: str, languages: tuple[tuple[str, str], ...]) -> Rules:
    """Rules of the same words are one object: their thousand patterns are compiled once, whatever bundle holds them."""
    content = _parsed("rules", general)
    content["languages"] = {name: _parsed(f"rules of {name}", text) for name, text in languages}
    return _converter().structure(content, Rules)


def language_file(path: epath.Path, language: str) -> epath.Path:
    """The file of a language's rules: `rules.es.yaml` beside `rules.yaml`."""
    return path.with_name(f"{path.stem}.{language}.yaml")


def _read(source: epath.Path) -> str:
    try:
        return source.read_text()
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from None


def _parsed(name: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, only stricter
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None


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
    converter.register_structure_hook_func(_is_choice, _one_of)
    return converter


def _is_choice(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _one_of(value: Any, kind: Any) -> Any:
    if value not in (allowed := get_args(kind)):
        raise ValueError(f"is {value!r}; allowed: {', '.join(allowed)}")
    return value


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
