"""`retentionjax messages {check,propose,list,approve,refuse,retire}`: texts that customers are sent.

`check` says what the shield thinks of a text; the others keep wordings in a ledger, from which a running service takes
those that are approved.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING

from serving.ledger_command import database_flag, opened

if TYPE_CHECKING:  # heavy, and `--help` needs none of them
    from retentionjax.decide.variants import Variant
    from retentionjax.shield import Brief, Rules
    from retentionjax.shield.command import Voice
    from retentionjax.shield.phrasebook import Phrasebook

WHO = "command line"
_STATES = {"approve": "approved", "refuse": "refused", "retire": "retired"}


def main(arguments: Sequence[str]) -> int:
    """Runs `messages VERB …`; returns the exit status. Raises ConfigError, LedgerError, BundleError."""
    if arguments[:1] == ["check"]:
        from retentionjax.shield import command

        return command.main(arguments[1:], _approved, _voice)
    parser = argparse.ArgumentParser(prog="retentionjax messages", description=__doc__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    verbs.add_parser("check", help="print which rules a text breaks, and why")
    place = database_flag()
    propose = verbs.add_parser("propose", parents=[place], help="let the bundle's language model propose wordings")
    propose.add_argument("--bundle", required=True, metavar="DIR")
    propose.add_argument("--per-kind", type=int, default=8, metavar="N", help="wordings per offer [8]")
    propose.add_argument("--channel", choices=("sms", "email", "push"), help="channel [the bundle's]")
    propose.add_argument("--tone", choices=("warm", "formal", "brief"), help="tone [the bundle's]")
    reasons = "only those that speak to this reason to leave, or to none [to none, and to each that the company names]"
    propose.add_argument("--angle", metavar="REASON", help=reasons)
    propose.add_argument("--by", choices=("model", "grammar"), help="who writes [model, in English]")
    propose.add_argument("--approve", choices=("person", "shield"), default="person", help="who approves [person]")
    propose.add_argument("--seed", type=int, default=0, help="seed of the author's draws [0]")
    propose.set_defaults(run=_propose)
    listed = verbs.add_parser("list", parents=[place], help="list all wordings, and what customers did with each")
    listed.add_argument("--markdown", action="store_true", help="print the texts alone, by channel and kind")
    listed.set_defaults(run=_list)
    for verb, state in _STATES.items():
        own = verbs.add_parser(verb, parents=[place], help=f"mark wordings as {state}")
        own.add_argument("variant_ids", nargs="+", metavar="ID")
        own.set_defaults(run=_decide, state=state)
    asked = parser.parse_args(list(arguments))
    status: int = asked.run(asked)
    return status


def _approved(brief: "Brief", rules: "Rules") -> "Phrasebook":
    """What a wording for the brief may recombine as it stands in no ledger: the grammar's phrases and the template."""
    from retentionjax.decide.variants import phrasebook

    return phrasebook([brief], rules)


def _voice(path: str) -> "Voice":
    """How the company of company.yaml speaks. Raises ConfigError for a file that is none, or names no sender."""
    from retentionjax.company import Company
    from retentionjax.shield.command import Voice

    company = Company.load(path)
    messages = company.messages
    offers = {name: offer.terms(company.currency) for name, offer in company.offers.items()}
    return Voice(messages.signed, messages.channels, messages.tone, messages.language, offers)


def _propose(asked: argparse.Namespace) -> int:
    from retentionjax import bundle as bundles  # loads models
    from retentionjax.bundle.language import proposer
    from retentionjax.decide import variants
    from retentionjax.decide.variants import Kind, WordingAuthor
    from retentionjax.errors import BundleError, ConfigError

    bundle = bundles.load(asked.bundle)
    message, rules = bundle.message, bundle.rules
    if message is None or rules is None:
        raise BundleError(f"{bundle.folder}: has no part 'shield', so it writes no messages")
    writers = ("model", "grammar") if message.language == "en" else ("grammar",)
    if (by := asked.by or writers[0]) not in writers:
        raise ConfigError(
            f"--by is {by}, which writes English, and messages.language {message.language}; allowed: grammar"
        )
    author = WordingAuthor(*proposer(bundle)) if by == "model" else WordingAuthor.of(_by_grammar)
    channel, tone = asked.channel or message.channel, asked.tone or message.tone
    general = Kind("", channel, tone).with_angles(message)
    if asked.angle not in (None, *(named := [each.angle or "none" for each in general])):
        raise ConfigError(f"--angle is {asked.angle}; allowed for {channel}, by messages.angles: {', '.join(named)}")
    kinds = [
        replace(each, offer=offer)
        for offer in bundle.offers
        for each in general
        if asked.angle in (None, each.angle or "none")
    ]
    with opened(asked, create=True) as ledger:
        for place, kind in enumerate(kinds):
            with ledger.read() as reader:
                known = [each for each in reader.variants() if each.variant.kind == kind]
            made = variants.propose(
                kind, bundle.said_offer(kind.offer), message, rules, author,
                count=asked.per_kind, known=[each.variant.text for each in known],
                approved=[each.variant.text for each in known if each.state == "approved"],
                seed=asked.seed + 1000 * place,
            )  # fmt: skip
            with ledger.transaction() as tx:
                tx.propose_variants(made.variants, rules.version, f"{WHO}, {by}", approver=asked.approve)
            dropped = ", ".join(f"{rule} {count}" for rule, count in made.refused.most_common())
            print(f"{kind}: {len(made.variants)} proposed; dropped: {dropped or 'none'}")
            for each in made.variants:
                print(f"  {each.id}  {each.text}")
    return 0


def _by_grammar(brief: "Brief", seed: int) -> str:
    from retentionjax.data.messages import grammar

    return grammar.write(grammar.draft(brief, "train", Random(seed)))


def _list(asked: argparse.Namespace) -> int:
    from retentionjax.decide.comparing import lift

    with opened(asked, create=True) as ledger, ledger.read() as reader:
        found = reader.variants()
    if asked.markdown:
        print(_markdown([each.variant for each in found]))
        return 0
    for each in found:
        kind, answers = each.variant.kind, each.answers
        print(f"{each.variant.id}  {each.state:9} {kind}  {each.variant.text}")
        if each.matched[0].sent:
            estimate, low, high = (100 * value for value in lift(*each.matched))
            measured = f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}] accepts in 100 against the template"
            print(
                f"  sent {answers.sent:,}, accepted {answers.accepted:,}, opted out {answers.opted_out:,}: {measured}"
            )
    print(f"{len(found):,} wordings; the shield's template is one of each kind besides")
    return 0


def _markdown(found: "Sequence[Variant]") -> str:
    """Every text as an item of a list, a line break as ⏎."""
    lines = []
    for channel, texts in groupby(sorted(found, key=lambda each: each.kind.channel), lambda each: each.kind.channel):
        lines.append(f"## {channel}\n")
        for kind, alike in groupby(texts, lambda each: each.kind):
            lines += [f"**{kind}**\n", *("- " + re.sub(r"\n+", " ⏎ ", each.text) for each in alike), ""]
    return "\n".join(lines)


def _decide(asked: argparse.Namespace) -> int:
    with opened(asked, create=True) as ledger, ledger.transaction() as tx:
        for variant_id in asked.variant_ids:
            tx.decide_variant(variant_id, asked.state, WHO)
    print(f"{len(asked.variant_ids)} {asked.state}; a running service follows within seconds")
    return 0
