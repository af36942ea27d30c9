"""What a message is to say: the one Brief that the prompt, the checks and the templates read, so they cannot disagree.

Customer fields are untrusted: a name or a fact that could carry an instruction, a link or a claim is left out (`name`,
`known` hold what is fit to use), and the message does without it.

A language model never meets a name: its prompt and its text hold stand-ins for customer and sender, which `fill`
exchanges for the names. So no name can be misspelt or carry an instruction, and one text serves everybody whose briefs
differ in names only.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Literal, get_args
from urllib.parse import urlsplit

from retentionjax.errors import ConfigError
from retentionjax.shield.lexicon import LANGUAGES, Language
from retentionjax.shield.offer import OfferTerms
from retentionjax.shield.reading import BLANK, Reading, blanked, fold, places, words_of
from retentionjax.shield.sieve import Guarded

Channel = Literal["sms", "email", "push"]
Tone = Literal["warm", "formal", "brief"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
CHANNEL_WORDS: Mapping[str, str] = {"sms": "SMS", "email": "e-mail", "push": "push notification"}
TONES: tuple[Tone, ...] = get_args(Tone)

ANGLES = ("price", "contract", "support", "unused")
"""What a message may speak to: what it costs, being bound, help with a problem, a service that lies idle."""
ANGLED: tuple[Channel, ...] = ("sms", "email")
"""Channels that have room for it; a lock screen has none."""

NAME, SENDER = "{name}", "{sender}"
"""The stand-ins; neither a name nor a fact that is fit to use holds a brace, and the shield passes no text with one."""

_TIME = r"(?:(?:day|week|month|year|día|semana|año)s?|mes(?:es)?)"
_DURATION = rf"\d{{1,3}} {_TIME}(?: (?:and|y) \d{{1,2}} {_TIME})?"
_WORDS = r"[^\W_][\w'’&+/.-]*(?: (?:[&+] )?[\w'’&+/-][\w'’&+/.-]*){0,4}"
_MONEY = r"[$€£¥₹]\d{1,5}(?:\.\d\d)?|\d{1,5}(?:\.\d\d)? [A-Z]{3}"
FACTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "plan": ("Plan", _WORDS),
        "tenure": ("With us", _DURATION),
        "contract": ("Contract", _WORDS),
        "services": ("Services", _WORDS),
        "charge": ("Monthly bill", _MONEY),
        "saving": ("Saving", _MONEY),
    }
)
"""The only personal facts a message may use: name → (label in the prompt, form of an acceptable value)."""

_OWN = ("plan", "contract", "services")
_GREETED = re.compile(
    r"(?<!\w)(?:hi|hello|hey|dear|thanks|thank you|welcome|back|again|there|morning|afternoon|evening|greetings|hola"
    r"|estimad[oa]|querid[oa]|gracias|dias|tardes|noches)[,!]? $"
)
_SPOKEN_TO = re.compile(r"(?:^|[.!?:,;\n\"(-])\s*$")
_NAME = re.compile(r"[^\W\d_]+(?:[ '’.-]{1,2}[^\W\d_]+){0,3}")
_STAND_IN = re.compile("|".join(map(re.escape, (NAME, SENDER))))
_NAME_LONGEST, _FACT_LONGEST = 30, 40
_HOSTILE = re.compile(
    r"ignor|instruct|system|prompt|assistant|disregard|overrid|pretend|forget|jailbreak|discount|\boffer|\boff\b"
    r"|guarant|http|www|\b(?:java|vb)?script|\.(?:com|net|org|io|ly|co)\b|customer|\bnull\b|undefined|\bnone\b|\bnan\b"
    r"|\bfree (?:for|of|day|week|month|year|bill|phone|data|line)|(?:day|week|month|year|bill)s? free\b",
    re.IGNORECASE,
)
_HOSTILE_NAME = re.compile(rf"{_HOSTILE.pattern}|\bfree\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sender:
    """The company that sends the message: set by the operator and trusted."""

    name: str
    postal_address: str
    domains: tuple[str, ...]
    """Domains a message may link to; their subdomains too."""
    unsubscribe_url: str

    def __post_init__(self) -> None:
        """Raises ConfigError for an empty, long or many-lined name or address and a link that is not the sender's."""
        for key, longest in (("name", 30), ("postal_address", 200)):
            value = getattr(self, key)
            if not value.strip() or value != value.strip() or len(value) > longest or not value.isprintable():
                raise ConfigError(f"Sender.{key} is {value!r}; allowed: one line of 1 to {longest} characters")
        for domain in self.domains:
            if not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z0-9-]{2,}", domain):
                raise ConfigError(
                    f"Sender.domains holds {domain!r}; allowed: lower-case host names like northwind.example"
                )
        if not self.owns(self.unsubscribe_url):
            allowed = ", ".join(self.domains)
            raise ConfigError(
                f"Sender.unsubscribe_url is {self.unsubscribe_url!r}; allowed: an https link to {allowed}"
            )

    @property
    def links(self) -> Guarded:
        """Links to `domains`, in folded text."""
        return _links(self.domains)

    def owns(self, url: str) -> bool:
        """Whether `url` is an https link to one of `domains` or a subdomain of one."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        return parts.scheme == "https" and parts.username is None and self.owns_host(host)

    def owns_host(self, host: str) -> bool:
        """Whether `host` is one of `domains` or below one."""
        return any(host == domain or host.endswith("." + domain) for domain in self.domains)


@dataclass(frozen=True)
class Brief:
    """One message to be written."""

    channel: Channel
    offer: OfferTerms
    sender: Sender
    tone: Tone = "warm"
    first_name: str | None = None
    """First name as the customer's record has it: untrusted."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Keys of FACTS to values as the customer's record has them: untrusted."""
    angle: str | None = None
    """Why this customer may leave, which the message is to speak to; the operator's word (of ANGLES, say), trusted."""
    language: Language = "en"
    masked: bool = False
    """Whether customer and sender go by their stand-ins, as `mask` makes it."""

    def __post_init__(self) -> None:
        """Raises ConfigError naming a field that is out of what is allowed, and names that are no stand-ins."""
        for key, allowed in (("channel", CHANNELS), ("tone", TONES), ("language", LANGUAGES)):
            if getattr(self, key) not in allowed:
                raise ConfigError(f"Brief.{key} is {getattr(self, key)!r}; allowed: {', '.join(allowed)}")
        if self.angle is not None and not re.fullmatch(r"[a-z][a-z -]{0,29}", self.angle):
            raise ConfigError(f"Brief.angle is {self.angle!r}; allowed: 1 to 30 small letters, such as {ANGLES[0]}")
        for key in self.facts:
            if key not in FACTS:
                raise ConfigError(f"Brief.facts holds {key!r}; allowed: {', '.join(FACTS)}")
        if self.masked and (self.first_name not in (None, NAME) or self.sender.name != SENDER):
            raise ConfigError(f"Brief.masked is True; allowed: with {NAME} or no name, from {SENDER}")

    @cached_property
    def name(self) -> str | None:
        """The first name if it looks like one, else None; the stand-in of a masked brief."""
        if self.masked:
            return self.first_name
        name = unicodedata.normalize("NFC", (self.first_name or "").strip())
        fits = len(name) <= _NAME_LONGEST and _NAME.fullmatch(_without_marks(name)) and not _HOSTILE_NAME.search(name)
        return name if fits and not _mixes_scripts(name) else None

    @cached_property
    def known(self) -> dict[str, str]:
        """The facts whose values have the form that FACTS asks for, in its order."""
        values = {key: " ".join(self.facts.get(key, "").split()) for key in FACTS}
        return {
            key: values[key]
            for key, (_, form) in FACTS.items()
            if len(values[key]) <= _FACT_LONGEST
            and _is_latin(values[key])
            and re.fullmatch(form, values[key])
            and not _HOSTILE.search(fold(values[key]))
        }

    @cached_property
    def own_words(self) -> tuple[str, ...]:
        """Texts that only this message contains: names, facts, and the words of the offer."""
        return (self.sender.name, self.name or "", *self.known.values(), self.offer.say or "")

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The words of `own_words`, folded."""
        return frozenset[str]().union(*map(words_of, self.own_words))

    def mask(self) -> "Brief":
        """This brief with stand-ins for customer (if the name is fit to use) and sender: all that a model may see."""
        name = NAME if self.name else None
        return replace(self, first_name=name, sender=replace(self.sender, name=SENDER), masked=True)

    def fill(self, text: str) -> str:
        """`text` with the names for their stand-ins; one that this brief has no name for stays, for the shield."""
        names = {SENDER: self.sender.name} | ({NAME: self.name} if self.name else {})
        return _STAND_IN.sub(lambda found: names.get(found[0], found[0]), text)

    def unfill(self, text: str) -> str:
        """`text` with stand-ins for this brief's names: what `fill` undoes."""
        for name, stand_in in ((self.sender.name, SENDER), (self.name, NAME)):
            if name:
                text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", stand_in, text)
        return text

    def spare(self, reading: Reading) -> Reading:
        """`reading` with sender, plan, the offer's own words and the customer's name blanked out in `plain`.

        So no rule strikes them (a customer called Sue, a plan called Family). The name is spared where somebody is
        spoken to by it; the sender's domains are, in any link.
        """
        text = reading.folded
        text = self.sender.links.sub(lambda match: BLANK * len(match.group()), text)
        for words in (self.sender.name, self.offer.say or "", *(self.known.get(key, "") for key in _OWN)):
            text = blanked(text, fold(words))
        name = fold(self.name or "")
        for at in places(text, name):
            start, end = reading.span(at, at + len(name))
            greeted = _GREETED.search(text, 0, at)
            if greeted or (_SPOKEN_TO.search(text, 0, at) and reading.text[start:end] == self.name):
                text = text[:at] + BLANK * len(name) + text[at + len(name) :]
        return replace(reading, plain=text)

    def prompt(self) -> str:
        """The instruction the language model is given, with stand-ins; short, for every token of it costs time."""
        kind = {"sms": "SMS", "email": "e-mail", "push": "push notification"}[self.channel]
        parts = [f"{NAME}."] if self.name else []
        parts += [f"{FACTS[key][0]}: {value}." for key, value in self.known.items()]
        if self.angle:
            parts.append(f"About: {self.angle}.")
        # What no message may miss stands where the message begins.
        parts.append(f"Write a {self.tone} {kind} from {SENDER}. Offer: {self.offer.text() or 'none'}.")
        return " ".join(parts)


@lru_cache(1024)
def _links(domains: tuple[str, ...]) -> Guarded:
    hosts = "|".join(map(re.escape, domains))
    return Guarded(
        rf"(?<![\w@.-])(?:https://)?(?:[a-z0-9-]+\.)*(?:{hosts})(?![\w.-]*\w)(?:\.(?=[:/?#]))?(?::443(?!\d))?(?:[/?#](?:[^\s<>\"'@]*[^\s<>\"'@.,;:!?)])?)?(?![\w@])"
    )


def _without_marks(text: str) -> str:
    """Letters only: combining marks, which many scripts need between letters, are no part of the form."""
    return "".join(each for each in text if unicodedata.category(each) not in ("Mn", "Mc"))


def _is_latin(text: str) -> bool:
    """Whether every letter is Latin, and none in a style or with a hook that only disguises another."""
    return all(each.isascii() or not each.isalpha() or unicodedata.name(each, "").startswith("LATIN") for each in text)


def _mixes_scripts(name: str) -> bool:
    """Whether Latin letters stand beside Greek or Cyrillic ones, the scripts that have look-alikes of them."""
    scripts = {unicodedata.name(each, "").split(" ")[0] for each in name if each.isalpha()}
    return "LATIN" in scripts and not scripts.isdisjoint({"GREEK", "CYRILLIC"})
