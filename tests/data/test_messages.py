"""The retention corpus: its messages keep their briefs, its pairs differ by one flaw, its splits share nothing."""

import dataclasses
import random
import re
from collections import Counter

import pytest
from pair_audit import audit

from retentionjax import shield
from retentionjax.data import messages
from retentionjax.data.messages import (
    Audience,
    Pair,
    accept_phrases,
    angle_phrases,
    customers,
    email_phrases,
    flawed_phrases,
    grammar,
    phrases,
    push_phrases,
)
from retentionjax.data.messages.angle_phrases import ANGLE
from retentionjax.data.messages.phrases import Choice
from retentionjax.data.messages.words import WORDS
from retentionjax.errors import DataError
from retentionjax.shield import OfferTerms
from retentionjax.shield.brief import ANGLES, TONES, Tone

SPLITS = ("train", "validation", "test")
COUNT = 400
"""Messages of each split: 1,200 in all."""


@pytest.fixture(scope="module")
def audience() -> Audience:
    """A shop's customers, a third of them with the larger plan, and offers other than the demo's."""
    facts = [{"plan": "Family box" if row % 3 == 0 else "Small box", "tenure": f"{row} months"} for row in range(2, 60)]
    offers = (OfferTerms(amount=15.0, currency="EUR"), OfferTerms(say="free delivery", days=60))
    return Audience({split: facts[place::3] for place, split in enumerate(SPLITS)}, offers)


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[messages.CorpusMessage]]:
    return {split: messages.generate(COUNT, split, 0) for split in SPLITS}


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[Pair]]:
    return {split: messages.pairs(220, split, 0) for split in ("train", "test")}


def sent(message: messages.CorpusMessage) -> str:
    return message.brief.fill(message.text)


def test_a_message_says_what_its_brief_says(corpus: dict[str, list[messages.CorpusMessage]]) -> None:
    for message in (each for split in SPLITS for each in corpus[split]):
        brief, text = message.brief, sent(message)
        assert text.count(brief.sender.name) == 1, text
        assert (brief.name or "") in text
        stated = re.findall(r"(\d+)%", text)
        assert stated == ([f"{brief.offer.percent:g}"] if brief.offer.percent else []), text
        assert re.findall(r"(\d+) days", text) == ([str(brief.offer.days)] if brief.offer.percent else []), text
        assert re.findall(r", (20\d\d)\b", text) == ([str(brief.offer.ends.year)] if brief.offer.ends else []), text
        assert {"sms": "STOP", "push": "settings", "email": "nsubscribe"}[brief.channel] in text


def test_messages_are_as_short_as_their_channel_and_differ_in_length(
    corpus: dict[str, list[messages.CorpusMessage]],
) -> None:
    lengths: dict[str, list[int]] = {"sms": [], "push": [], "email": []}
    for message in (each for split in SPLITS for each in corpus[split]):
        lengths[message.brief.channel].append(len(sent(message)))
        assert message.brief.channel != "email" or len(message.text.split()) <= 60
        assert message.text.isascii()
    assert max(lengths["sms"]) <= 160
    assert max(lengths["push"]) <= 150
    for channel, ratio in (("sms", 1.3), ("push", 1.2), ("email", 1.5)):
        found = sorted(lengths[channel])
        assert found[9 * len(found) // 10] > ratio * found[len(found) // 10]


def test_short_messages_begin_with_their_sender_where_that_is_asked_for(
    corpus: dict[str, list[messages.CorpusMessage]],
) -> None:
    found = messages.generate(100, "train", 0, sender_first=True)
    chosen = messages.pairs(55, "test", 0, sender_first=True)
    for brief, text in [(each.brief, each.text) for each in found] + [(each.brief, each.chosen) for each in chosen]:
        beginning, _, _ = text.partition(":")
        assert brief.channel == "email" or "{sender}" in beginning, text
    assert {each.brief.channel for each in found} == {each.brief.channel for each in chosen} == {"sms", "push", "email"}
    assert [each.text for each in found] != [each.text for each in corpus["train"][:100]]


def test_the_same_arguments_give_the_same_messages(audience: Audience) -> None:
    once, again = (messages.pairs(20, "train", 5, audience) for _ in range(2))
    assert once == again
    assert messages.generate(20, "train", 5, audience) != messages.generate(20, "train", 6, audience)
    assert messages.generate(30, "test", 5)[:20] == messages.generate(20, "test", 5)


def test_no_text_comes_twice_no_prompt_is_of_two_splits_and_no_text_shared_with_test(
    corpus: dict[str, list[messages.CorpusMessage]],
) -> None:
    texts = {split: {message.text for message in corpus[split]} for split in SPLITS}
    assert {split: len(found) for split, found in texts.items()} == dict.fromkeys(SPLITS, COUNT)
    assert texts["test"].isdisjoint(texts["train"] | texts["validation"])
    prompts = [prompt for split in SPLITS for prompt in {each.brief.prompt() for each in corpus[split]}]
    assert len(prompts) == len(set(prompts))


def _choices(node: object) -> list[Choice]:
    if isinstance(node, Choice):
        return [node]
    return [choice for child in node.values() for choice in _choices(child)] if isinstance(node, dict) else []


@pytest.mark.parametrize(
    "module", [phrases, accept_phrases, email_phrases, angle_phrases, push_phrases, grammar, flawed_phrases]
)
def test_what_is_held_out_is_never_learnt_from(module: object) -> None:
    found = [choice for value in vars(module).values() for choice in _choices(value)]
    assert len(found) >= 2
    everything_train = {phrase for choice in found for phrase in choice.train}
    held_out = {phrase for choice in found for phrase in choice.held_out}
    # A lock screen has room for few ways to name the settings.
    assert everything_train & held_out <= {"Manage alerts in settings."}


def test_names_and_senders_of_the_test_split_are_new(corpus: dict[str, list[messages.CorpusMessage]]) -> None:
    seen = {split: [each.brief for each in corpus[split]] for split in SPLITS}
    for value in (lambda brief: brief.name, lambda brief: brief.sender.name):
        learnt = {value(brief) for brief in seen["train"] + seen["validation"]} - {None}
        assert learnt.isdisjoint({value(brief) for brief in seen["test"]} - {None})


@pytest.mark.parametrize("split", SPLITS)
def test_facts_and_offers_are_those_of_the_audience(audience: Audience, split: str) -> None:
    known = {fact: {each[fact] for each in audience.facts[split]} for fact in ("plan", "tenure")}
    drawn = messages.briefs(300, split, 0, audience)
    for brief in drawn:
        assert all(words in known[fact] for fact, words in brief.facts.items())
        assert brief.known == brief.facts, "what the corpus makes up is fit for a prompt"
    plans = [brief.facts["plan"] for brief in drawn if "plan" in brief.facts]
    share = sum(each["plan"] == "Family box" for each in audience.facts[split]) / len(audience.facts[split])
    assert plans.count("Family box") / len(plans) == pytest.approx(share, abs=0.09)
    assert {(brief.offer.amount, brief.offer.say) for brief in drawn} == {(15.0, None), (0.0, "free delivery")}


def test_messages_of_an_audience_keep_to_its_offers(audience: Audience) -> None:
    written = messages.generate(60, "train", 0, audience)
    for each in written:
        assert "€15" in sent(each) or "free delivery" in sent(each)
        assert not shield.check(sent(each), each.brief, by="model").violations, each.text


@pytest.mark.parametrize(
    ("months", "said"), [(0, None), (1, "1 month"), (23, "23 months"), (24, "2 years"), (71, "5 years")]
)
def test_tenure_in_words(months: int, said: str | None) -> None:
    assert customers.tenure(months) == said


def test_every_flaw_is_as_frequent_as_any_other(pairs: dict[str, list[Pair]]) -> None:
    for found in pairs.values():
        assert Counter(pair.flaw for pair in found) == dict.fromkeys(messages.FLAWS, 20)
        assert all(pair.chosen != pair.rejected and pair.source == "messages" for pair in found)


def _flawed(pair: Pair) -> bool:
    """Whether the rejected text has the flaw it is said to have, seen by other means than those that made it."""
    brief, text = pair.brief, pair.brief.fill(pair.rejected)
    percents = set(re.findall(r"(\d+)%", text))
    days = set(re.findall(r"(\d+) days", text))
    own_phrases = {
        "shaming": flawed_phrases.SHAMING,
        "leaked_score": flawed_phrases.SCORE,
        "invented_offer": flawed_phrases.INVENTED,
        "false_urgency": flawed_phrases.URGENCY,
    }
    if pair.flaw in own_phrases:
        choice = own_phrases[pair.flaw]
        calm = text.lower().replace("!", ".")
        if any(phrase.lower().replace("!", ".") in calm for phrase in choice.train + choice.held_out):
            return True
    return {
        "wrong_offer": lambda: percents != {f"{brief.offer.percent:g}"} or days != {str(brief.offer.days)},
        "invented_offer": lambda: not brief.offer.percent and len(percents) == 1,
        "missing_offer": lambda: brief.offer.percent > 0 and not percents,
        "false_urgency": lambda: (
            set(re.findall(r"[A-Z]\w+ \d+, 20\d\d", text)) != set(re.findall(r"[A-Z]\w+ \d+, 20\d\d", pair.chosen))
        ),
        "missing_opt_out": lambda: (
            not any(
                line in text for line in phrases.OPT_OUT[brief.channel].train + phrases.OPT_OUT[brief.channel].held_out
            )
        ),
        "too_long": lambda: len(text) >= 1.3 * len(pair.chosen),
        "wrong_name": lambda: brief.name is None or not re.search(rf"\b{brief.name}\b", text),
        "missing_sender": lambda: brief.sender.name not in text,
        "off_tone": lambda: text != pair.chosen,
    }.get(pair.flaw, lambda: False)()


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_rejected_message_has_its_flaw(pairs: dict[str, list[Pair]], split: str) -> None:
    wrong = [pair for pair in pairs[split] if not _flawed(pair)]
    assert not wrong


@pytest.mark.slow
def test_neither_length_nor_words_alone_tell_the_pairs_apart() -> None:
    found = audit(messages.pairs(1100, "train", 1), messages.pairs(1100, "test", 0))  # 100 of each flaw
    assert abs(found.length_correlation) < 0.15
    assert 0.4 < found.longer_rejected < 0.65
    assert found.words < 0.92, "an offer always comes with a way to accept it, so what lacks one is told by its words"
    assert found.words_by_flaw["off_tone"] < 0.8, "this flaw is one against the brief only"
    assert found.token_by_flaw["missing_opt_out"] < 0.8


def test_the_audit_sees_what_gives_a_flaw_away(pairs: dict[str, list[Pair]]) -> None:
    marked = [dataclasses.replace(pair, rejected=pair.chosen + " zebra") for pair in pairs["train"][:100]]
    found = audit(marked[:50], marked[50:])
    assert found.words == 1.0
    assert list(found.token_by_flaw.values()) == pytest.approx([1.0] * len(found.token_by_flaw))
    assert found.longer_rejected == 1.0
    alike = [dataclasses.replace(pair, rejected=pair.chosen) for pair in marked]
    assert audit(marked, alike).words == 0.5
    with pytest.raises(DataError, match="one of them is empty"):
        audit([], marked)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_longest_names_and_facts_find_a_message(split: str) -> None:
    name = max(customers.FIRST_NAMES[split], key=len)
    company = customers.sender(max(customers.COMPANIES[split], key=len))
    facts = {"plan": "monthly phone plan", "tenure": "23 months"}
    for drafted in messages.briefs(60, split, 0):
        brief = dataclasses.replace(drafted, first_name=name, sender=company, facts=facts)
        assert grammar.fits(grammar.draft(brief, split, random.Random(0)), brief)


def test_only_the_channels_asked_for_are_written_to(audience: Audience) -> None:
    assert {brief.channel for brief in messages.briefs(50, "train", 0, audience, channels=("sms",))} == {"sms"}
    assert {pair.brief.channel for pair in messages.pairs(50, "test", 0, audience, channels=("sms", "push"))} == {
        "sms",
        "push",
    }
    with pytest.raises(DataError, match="the channels are none; allowed: sms, email, push"):
        messages.generate(1, "train", 0, audience, channels=())


def test_mistakes_name_what_is_allowed(audience: Audience) -> None:
    with pytest.raises(DataError, match="no split is called 'dev'; allowed: train, validation, test"):
        messages.generate(1, "dev", 0)
    with pytest.raises(DataError, match="the audience has 0 offers and 2 customers; one of each is wanted"):
        messages.briefs(1, "train", 0, Audience({"train": [{}, {}]}, ()))


def test_a_message_says_nothing_twice_and_without_an_offer_nothing_of_its_terms() -> None:
    for message in messages.generate(300, "train", 3):
        text = message.text.lower()
        words = re.findall(r"[\w{}'-]+", text)
        runs = list(zip(*(words[start:] for start in range(4)), strict=False))
        assert len(set(runs)) == len(runs), message.text
        for said in (
            "write back",
            "thank",
            "working",
            "our team",
            "should you",
            r"would you like|like it\b",
            r"\bglad|happy",
        ):
            assert len(re.findall(said, text)) <= 1, (said, message.text)
        assert not message.brief.offer.is_none or not re.search("nothing else|nothing to fill|contract stays", text)


def test_nothing_is_left_to_do_only_after_the_way_to_accept() -> None:
    """As in "No further steps are required. To accept, please reply": one of the two is not so."""
    for told in (*WORDS["en"].email["detail"].values(), *WORDS["es"].email["detail"].values()):
        for phrase in told.train:
            assert not re.search("further steps|do the rest|que hacer|hacemos el resto", phrase.lower()), phrase


def test_a_sentence_begins_with_a_capital_after_the_sender() -> None:
    for message in messages.generate(200, "train", 4, channels=("sms", "push")):
        assert not re.search(r"^[^:!.?]*\{sender\}: [a-z]", message.text), message.text


@pytest.mark.parametrize("tone", TONES)
def test_push_notifications_say_one_offer_in_many_ways(tone: Tone) -> None:
    """Of 60, whatever their greetings and however alerts are stopped, none says what six others say."""
    brief = messages.briefs(1, "train", 0)[0]
    asked = dataclasses.replace(brief, channel="push", tone=tone, offer=OfferTerms(0.1), facts={"plan": "DSL internet"})
    drafts = [grammar.draft(asked, "train", random.Random(seed)) for seed in range(60)]
    said = Counter(
        tuple(part.phrase for part in drafted.parts if part.slot not in ("prefix", "greeting", "optout"))
        for drafted in drafts
    )
    for drafted in drafts:
        text = asked.fill(grammar.write(drafted))
        assert shield.check(text, asked, by="model").passed, text
    assert max(said.values()) <= 6
    assert len(said) >= 30
    assert len({core[0] for core in said}) >= 15


def test_a_model_learns_no_layout_of_push_notifications_alone(corpus: dict[str, list[messages.CorpusMessage]]) -> None:
    """With those among its 400 texts, 41 % of its notifications passed the shield, and 55 % without."""
    alone = re.compile("^.{0,20}A treat |A quick hello|a tap away|Tap (?:for|to get) {?[0-9d]")
    learned = [message for message in corpus["train"] if message.brief.channel == "push"]
    assert learned
    assert not [message.text for message in learned if alone.search(message.text)]
    proposed = [grammar.write(grammar.draft(each.brief, "train", random.Random(0))) for each in learned]
    assert any(alone.search(text) for text in proposed)


@pytest.mark.parametrize("split", SPLITS)
def test_every_message_passes_the_shield(corpus: dict[str, list[messages.CorpusMessage]], split: str) -> None:
    for message in corpus[split]:
        verdict = shield.check(sent(message), message.brief, by="model")
        assert not verdict.violations, (message.text, verdict.violations)
        assert verdict.takeable, message.text


def test_a_message_speaks_to_the_reason_that_its_reader_may_have_to_leave(
    corpus: dict[str, list[messages.CorpusMessage]],
) -> None:

    def calm(text: str) -> str:
        return text.lower().replace("!", ".")

    spoken = Counter(
        message.brief.angle
        for message in corpus["train"]
        if message.brief.angle
        and any(calm(phrase) in calm(message.text) for phrase in ANGLE[message.brief.angle][message.brief.tone].train)
    )
    assert spoken == Counter(message.brief.angle for message in corpus["train"] if message.brief.angle)
    assert set(spoken) == set(ANGLES)


def test_the_shield_stops_every_flaw_but_those_of_taste(pairs: dict[str, list[Pair]]) -> None:
    """Too long and off tone are for the reward model; all else is against the brief or the rules, and is blocked."""
    for pair in pairs["train"] + pairs["test"]:
        if pair.flaw not in ("too_long", "off_tone"):
            text = pair.brief.fill(pair.rejected)
            assert not shield.check(text, pair.brief, by="model").passed, (pair.flaw, text)


def test_no_two_sentences_in_a_row_say_the_same_words(corpus: dict[str, list[messages.CorpusMessage]]) -> None:
    """None is like "We'd love to thank you. We'd love to give you 10% off"; no e-mail asks twice for questions."""
    for message in (each for split in SPLITS for each in corpus[split]):
        text = message.text.lower()
        assert not re.search(r"we'd love to [^.!?]*[.!?]\s+we'd love to", text), message.text
        assert len(re.findall(r"(?:any|got a) questions?\b", text)) <= 1 or not message.brief.offer.is_none, (
            message.text
        )
