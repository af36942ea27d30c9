"""Briefs: who is written to, about which offer, through which channel, on whose behalf.

Facts are a customer's of an audience, of the split asked for. What it does not hold (first name, sender, channel, tone)
is drawn, and of its offers one; names and senders of the test split are met in no other.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from random import Random

from retentionjax.data import splits
from retentionjax.errors import DataError
from retentionjax.shield.brief import ANGLED, ANGLES, CHANNELS, TONES, Brief, Channel, Sender
from retentionjax.shield.lexicon import Language
from retentionjax.shield.offer import OfferTerms

_FIRST_NAMES = """
Aaron Abdul Abena Abigail Adaeze Adam Adele Adrian Agata Agnes Ahmed Aida Ailsa Aisha Akin Alan Albert Alena Alessia
Alice Alina Alma Alvaro Amanda Amara Amelia Amina Amir Amit Amy Ana Anders Andre Andrea Andrew Angela Anika Anita Anja
Ann Anna Annika Anthony Antonio Anya Aoife Arjun Arman Arnold Arthur Arturo Asha Ashley Astrid Audrey Ayesha Aylin
Barbara Beatriz Ben Benedikt Benjamin Bernard Beth Bianca Bogdan Boris Brandon Brenda Brian Bridget Bronwen Bryan
Callum Camila Carla Carlos Carmen Carol Caroline Catalina Cathal Cecilia Cedric Chandra Charles Chiara Chinedu Chloe
Chukwu Cillian Clara Claudia Colin Conor Cora Cosima Craig Cristian Cynthia Dagmar Daichi Damian Daniel Daniela
Dariusz David Dawit Deborah Deepa Denise Dennis Derek Diana Diego Dieter Dilan Dimitra Dominik Donald Dorota Dorothy
Douglas Duncan Dylan Ebba Edgar Edith Eduardo Edward Egon Eileen Einar Elaine Eleanor Elena Elif Elijah Elisa Ella
Ellen Elsa Emeka Emil Emily Emma Enrique Eric Erik Ernesto Esther Ethan Eugene Eva Evelyn Ezra Fabian Farah Fatima
Fatou Felicity Felix Femi Fernanda Filip Fiona Florian Frances Frank Frida Gabriel Gabriela Gareth Gary Gemma Geoffrey
George Georgia Gerald Gianni Gilbert Giorgio Giulia Gloria Goran Grace Greta Grigori Gunnar Gustav Habib Hamza Hana
Hanna Hannah Harold Haruki Harvey Hector Heidi Henrik Henry Hideo Hilda Hiroshi Howard Hugo Hussein Ian Ibrahim Ida
Igor Ilaria Imani Imran Ingrid Irene Irina Isaac Isabel Isabella Isla Ismail Ivan Ivana Jacob Jakub Jamal James Janet
Janine Jasmin Javier Jean Jelena Jennifer Jeremy Jerome Jessica Jill Jin Joanna Joaquin Johan Jonas Jonathan Jorge
Joseph Joshua Joyce Juan Judith Julia Julian Juliette Justin Kaito Kamal Karen Karim Karl Karolina Katarina Kateryna
Kathleen Kavita Keiko Keith Kelly Kenji Kenneth Kerstin Kevin Khadija Kiran Klaus Kofi Kristen Kristof Kwame Kyle Lars
Laszlo Laura Lauren Laurence Layla Leila Leon Leonardo Leonor Leslie Liam Liana Lidia Linda Linh Linnea Lisa Ljubica
Logan Lorenzo Louis Louisa Lucas Lucia Ludwig Luis Luisa Luka Lydia Magda Magnus Mahmoud Malik Manuel Marcel Marco
Marcus Margaret Maria Mariana Marie Marina Mario Marisol Marjan Marlene Marta Martha Martin Mary Masato Mateo Mathilde
Matilda Matthew Maura Maurice Maya Mehmet Mei Melanie Melissa Mercedes Mia Michael Michelle Mila Milan Milos Minh Mira
Miriam Mohammed Moira Monica Morgan Moritz Muriel Mustafa Nadia Nadine Naoko Natalie Natasha Nathan Neil Nia Nicholas
Nicole Nigel Nikolai Nikos Nina Noah Noemi Noor Nora Norbert Nuno Oksana Olaf Olga Oliver Olivia Omar Orla Oscar Otto
Owen Pablo Pamela Paola Parisa Patricia Patrick Paul Paula Paulo Pavel Pedro Penelope Peter Philip Phoebe Pierre Piotr
Pooja Priya Rachel Radu Raj Rajesh Ramon Ramona Rania Raquel Raymond Rebecca Reiko Renata Renee Ricardo Richard Rita
Robert Roberta Roger Rohan Roland Roman Ronald Rosa Rosalind Rosario Rowan Roy Ruben Rudolf Rupert Russell Ruth Ryan
Sabine Sabrina Sachiko Sadia Saeed Salma Samantha Samuel Sandra Sanjay Santiago Sara Sarah Sasha Sean Selma Serena
Sergio Shannon Sharon Sheila Shira Sibel Sigrid Silvia Simon Simone Siobhan Sofia Solomon Sonia Sophie Soren Stanley
Stella Stephen Steven Stewart Sunita Susan Susanne Suzanne Sven Svetlana Sylvia Tadeusz Takeshi Tamara Tania Tara
Tatiana Teodor Teresa Thandi Theodore Theresa Thomas Tiago Timothy Tobias Tom Tomas Tomoko Tracy Trevor Tristan Ulrich
Ulrike Ursula Uwe Valeria Vanessa Vasco Vera Veronica Victor Victoria Vijay Viktor Vincent Viola Virginia Vivian
Vladimir Wanda Wei Wendy Wilhelm William Winston Xavier Ximena Yannick Yara Yasmin Yolanda Yosef Yuki Yusuf Yvonne
Zachary Zainab Zara Zeynep Zita Zoe Zofia Zoran
"""
_HELD_OUT_FIRST_NAMES = """
Petra Hassan Joan Miguel Akiko Dmitri Lena Tariq Helen Bruno Naomi Stefan Ines Walter Divya Rafael Adriana Amadou
Anselm Bilal Birgit Candice Ciara Corinne Dalia Darren Eamon Edwina Emre Fergus Freya Gerhard Gwen Hamish Harriet
Ikram Ilse Jarek Jocelyn Kamila Larissa Leandro Madison Marek Maureen Mirjam Nasser Nigella Odette Osman Pilar Pradeep
Ragnar Samira Shreya Tabitha Terence Tilda Umar Valerie Vikram Wilma Yoshi Zelda
"""
FIRST_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": tuple(_FIRST_NAMES.split()),
    "test": tuple(_HELD_OUT_FIRST_NAMES.split()),
}


def _companies(starts: str, ends: str, words: str, trades: str, longest: int) -> tuple[str, ...]:
    """Every start with every end, every word alone, every word with every trade; none beyond `longest` characters.

    A lock screen has little room, and the test split's phrases need more of it.
    """
    compounds = (start + end for start, end in product(starts.split(), ends.split()) if start.lower() != end)
    pairs = (f"{word} {trade}" for word, trade in product(words.split(), trades.split()))
    return tuple(each for each in (*compounds, *words.split(), *pairs) if len(each) <= longest)


COMPANIES: Mapping[str, tuple[str, ...]] = {
    "train": _companies(
        """
        North Blue Sun River Cedar Harbor Silver Maple Stone Bright Cloud East West Red Green Iron Moon Star Oak
        Pine Quick Swift True Clear Wild Sea Lake Hill Snow Summer Winter Spring Golden Copper Crystal Ember Falcon
        Raven Robin Heron Tiger Lion Wolf Fox Amber Coral Granite Echo
        """,
        "wind bird line link wave beam port field gate peak stream crest path point ridge star light stone shore cast",
        """
        Lumen Vela Nova Meridian Harbor Cedar Aurora Orbit Zenith Atlas Apex Vertex Pulse Summit Horizon Pioneer
        Beacon Compass Anchor Mosaic Prism Quantum Stellar Cobalt Indigo Scarlet Juniper Willow Magnolia Laurel
        Hazel Aspen Birch Sequoia Canyon Prairie Delta Mesa Sierra Lagoon Glacier Tundra Savanna Orchid Lotus Tulip
        Clover Saffron Ginger Pepper Velvet Satin Marble Onyx Topaz Garnet Jasper Ruby Sapphire Emerald Monarch
        Regent Castle Citadel Bastion Keystone Cornerstone Liberty Unity Harmony Melody Sonata Tempo Rhythm Cadence
        Cascade Torrent Geyser Comet Nebula Galaxy Cosmos Solaris Lunar Astra Helios Titan Orion Phoenix Griffin
        Pegasus Kestrel Osprey Condor Swallow Sparrow Finch Dolphin Marlin Otter Badger Bison Mustang Bronco
        Cheetah Jaguar Panther Puma
        """,
        """
        Tel Net Mobile Telecom Wireless Line Link Connect Media Bay Networks Communications Wave Digital One Home
        Online Systems
        """,
        longest=12,
    ),
    "test": _companies(
        "Fern Sky Tide Thunder Ocean Forest Garden Meadow Frost Autumn Crown Sand Brook Ash Elm",
        "way lark water bridge haven mark span dale flow mere",
        """
        Opal Lynden Quill Zephyr Vesper Quartz Heather Lynx Arcadia Umbra Pelican Caravel Halcyon Thistle Wren
        Alder
        """,
        "Net Tel Cell Voice",
        longest=10,
    ),
}


SPLITS = splits.NAMES
_SHARES: Mapping[Channel, int] = {"sms": 5, "email": 3, "push": 2}
OFFERS = (OfferTerms(), OfferTerms(0.05), OfferTerms(0.10), OfferTerms(0.20))
"""The demo's."""
OTHER_DAYS = (14, 60, 90)
"""How long an offer runs in some messages instead of its own days, so that a model reads them."""

_WITH_ANGLE = 0.3
"""Share of the messages with room for it that speak to a reason to leave."""
_STREETS = ("12 Harbor Street, Springfield", "480 Mill Road, Riverton", "7 Station Square, Fairview")


@dataclass(frozen=True)
class Audience:
    """Whom messages are written to, and about what."""

    facts: Mapping[str, Sequence[Mapping[str, str]]]
    """Split → what is known of each of its customers: fact → its words."""
    offers: Sequence[OfferTerms] = OFFERS
    """Offers, one of which each message has."""


def briefs(
    n: int,
    split: str,
    seed: int,
    audience: Audience | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
) -> list[Brief]:
    """`n` briefs of `split` ("train", "validation", "test"), the same for the same arguments.

    Without an audience they are about made-up customers. Raises DataError for an unknown split or channel, and for an
    audience without offers or customers.
    """
    return list(islice(stream(split, seed, audience, channels=channels), n))


def stream(
    split: str,
    seed: int,
    audience: Audience | None = None,
    *,
    channels: Sequence[Channel] = CHANNELS,
) -> Iterator[Brief]:
    """Briefs without end; `briefs` is its beginning."""
    if split not in SPLITS:
        raise DataError(f"no split is called {split!r}; allowed: {', '.join(SPLITS)}")
    if not channels or not set(channels) <= set(CHANNELS):
        raise DataError(f"the channels are {', '.join(channels) or 'none'}; allowed: {', '.join(CHANNELS)}")
    known = MADE_UP if audience is None else audience
    facts, offers = known.facts[split], known.offers
    if not offers or not facts:
        raise DataError(f"the audience has {len(offers)} offers and {len(facts)} customers; one of each is wanted")
    shares = [_SHARES[each] for each in channels]
    rng = Random(f"retentionjax briefs {split} {seed}")
    people, companies = ("test", "test") if split == "test" else ("train", "train")
    while True:
        channel = rng.choices(channels, shares)[0]
        offer = _offer(channel, offers, rng)
        brief = Brief(
            channel=channel,
            offer=offer,
            sender=sender(rng.choice(COMPANIES[companies])),
            tone=rng.choice(TONES),
            first_name=rng.choice(FIRST_NAMES[people]) if rng.random() < 0.9 else None,
            facts={key: text for key, text in rng.choice(facts).items() if rng.random() < 0.9},
            angle=_angle(channel, offer, rng),
        )
        if _split_of(brief.prompt()) == split:
            yield brief


def _split_of(prompt: str) -> str:
    """Split by a hash, so that no prompt is of two splits: without names, those of many customers are alike."""
    tenth = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) % 10
    return {0: "validation", 1: "test"}.get(tenth, "train")


def sender(name: str) -> Sender:
    """A made-up company of that name, on a reserved domain."""
    domain = f"{name.lower().replace(' ', '-')}.example"
    street = _STREETS[len(name) % len(_STREETS)]
    return Sender(name, f"{name}, {street}", (domain,), f"https://{domain}/unsubscribe")


def others(kind: str, split: str, but: str | None) -> tuple[str, ...]:
    """The other first names ("name") or senders ("sender") that `split` knows."""
    known = (FIRST_NAMES if kind == "name" else COMPANIES)["test" if split == "test" else "train"]
    return tuple(each for each in known if each != but)


def tenure(months: float, language: Language = "en") -> str | None:
    """How long somebody has been a customer, in words; None for those who have just come."""
    whole = int(months)
    if whole < 1:
        return None
    month, plural, years = _TIMES[language]
    if whole < 24:
        return f"{whole} {month}" + plural * (whole > 1)
    return f"{whole // 12} {years}"


_TIMES: Mapping[Language, tuple[str, str, str]] = {"en": ("month", "s", "years"), "es": ("mes", "es", "años")}


def _offer(channel: Channel, offers: Sequence[OfferTerms], rng: Random) -> OfferTerms:
    offer = rng.choices(offers, [4 if each.is_none else 3 for each in offers])[0]
    days = rng.choices((offer.days, *OTHER_DAYS), (6, 1, 1, 1))[0]
    # A last day is one more sentence, for which a lock screen has no room.
    dated = not offer.is_none and channel != "push" and rng.random() < 0.25
    ends = dt.date(2026, 1, 1) + dt.timedelta(days=rng.randrange(365)) if dated else None
    return replace(offer, days=days if offer.limited else offer.days, ends=ends)


def _angle(channel: Channel, offer: OfferTerms, rng: Random) -> str | None:
    """What SMS and e-mails with room for a sentence more speak to; None for the others."""
    drawn = rng.choice(ANGLES) if rng.random() < _WITH_ANGLE else None
    return drawn if channel in ANGLED and (channel == "email" or offer.ends is None) else None


_PLANS = ("phone plan", "monthly phone plan", "DSL internet", "DSL TV bundle", "fiber internet", "fiber TV bundle")
_CUSTOMERS = [{"plan": plan, "tenure": str(tenure(months))} for plan in _PLANS for months in range(1, 73)]
MADE_UP = Audience(dict.fromkeys(SPLITS, _CUSTOMERS))
"""Customers who are nobody."""
