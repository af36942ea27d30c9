"""Deterministic messages that always pass: what is sent when no better message may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from retentionjax.errors import ConfigError
from retentionjax.shield.brief import ANGLED, Brief, Channel, Tone
from retentionjax.shield.checking import check
from retentionjax.shield.form import basic, measure
from retentionjax.shield.lexicon import Language
from retentionjax.shield.quantities import date_text
from retentionjax.shield.rules import Rules
from retentionjax.shield.verdict import Verdict


@dataclass(frozen=True)
class _Wording:
    """The sentences of one language."""

    greeting: Mapping[Tone, tuple[str, str]]
    """Greeting with a name, and without."""
    thanks: Mapping[Tone, tuple[str, str]]
    """Thanks for a tenure, and without one."""
    have: Mapping[Tone, str]
    plan: str
    accept: Mapping[Channel, str]
    by: str
    question: str
    help: str
    angle: Mapping[str, str]
    """Answer to a reason to leave of `brief.ANGLES`; none of it promises anything."""
    closing: Mapping[Channel, str]
    sign: str
    footer: str


_WORDINGS: Mapping[Language, _Wording] = {
    "en": _Wording(
        greeting={"warm": ("Hi {name}, ", "Hello! "), "formal": ("Dear {name}, ", ""), "brief": ("{name}, ", "")},
        thanks={
            **dict.fromkeys(("warm", "formal"), ("thank you for {tenure} with us. ", "thank you for being with us. ")),
            "brief": ("thanks for {tenure} with us. ", ""),
        },
        have={"warm": "enjoy", "formal": "you can have", "brief": "enjoy"},
        plan=" on your {plan}",
        accept={
            "sms": "Reply YES to accept",
            "push": "Open the app to accept",
            "email": "Reply to this e-mail to accept",
        },
        by=" by {date}",
        question="How is everything going? We are here if you have a question.",
        help="Any questions? We can help.",
        angle={
            "price": "We can review your plan with you.",
            "contract": "Questions about your contract? We can help.",
            "support": "Our support team can help you.",
            "unused": "We can help you get more from your service.",
        },
        closing={
            "sms": " Reply STOP to opt out.",
            "push": " Manage alerts in settings.",
            "email": "\n\nYou can unsubscribe at any time with the link below.",
        },
        sign="Kind regards",
        footer="Unsubscribe",
    ),
    "es": _Wording(
        greeting={
            "warm": ("Hola, {name}: ", "¡Hola! "),
            "formal": ("Buenos días, {name}: ", ""),
            "brief": ("{name}: ", ""),
        },
        thanks={
            **dict.fromkeys(
                ("warm", "formal"), ("gracias por {tenure} con nosotros. ", "gracias por confiar en nosotros. ")
            ),
            "brief": ("gracias por {tenure}. ", ""),
        },
        have={"warm": "le damos", "formal": "le ofrecemos", "brief": "le damos"},
        plan=" en su {plan}",
        accept={
            "sms": "Responda SI para aceptar",
            "push": "Abra la aplicación para aceptar",
            "email": "Responda a este correo para aceptar",
        },
        by=" hasta el {date}",
        question="¿Cómo va todo? Estamos aquí si tiene alguna pregunta.",
        help="¿Alguna pregunta? Podemos ayudarle.",
        angle={
            "price": "Podemos revisar su plan con usted.",
            "contract": "Podemos explicarle su contrato con gusto.",
            "support": "Nuestro equipo de asistencia puede ayudarle.",
            "unused": "Podemos ayudarle a disfrutar más de su servicio.",
        },
        closing={
            "sms": " Responda STOP para no recibir más mensajes.",
            "push": " Cambie sus avisos en los ajustes.",
            "email": "\n\nPuede darse de baja en cualquier momento con el enlace de abajo.",
        },
        sign="Un saludo",
        footer="Darse de baja",
    ),
}


def render(brief: Brief, rules: Rules | None = None) -> str:
    """The fullest template for `brief` that passes every rule: with name and facts, with one of them, with neither.

    Raises ConfigError when even the barest one breaks a rule, which says that rules and sender contradict each other.
    """
    return render_checked(brief, rules)[0]


def render_checked(brief: Brief, rules: Rules | None = None) -> tuple[str, Verdict]:
    """Renders as `render` does, with the verdict that passed it, so that nobody need check it again."""
    last = None
    for text in _candidates(brief):
        verdict = check(text, brief, rules)
        if verdict.passed:
            return text, verdict
        last = verdict
    broken = ", ".join(last.blocking) if last else "none"
    raise ConfigError(f"no template for {brief.channel} passes rules.yaml; the barest one breaks: {broken}")


def footer(brief: Brief) -> str:
    """What the sending side adds below the body of an e-mail: the unsubscribe link and the postal address."""
    sender = brief.sender
    return f"--\n{_WORDINGS[brief.language].footer}: {sender.unsubscribe_url}\n{sender.name}, {sender.postal_address}"


def _candidates(brief: Brief) -> Iterator[str]:
    for name, facts in ((True, True), (True, False), (False, True), (False, False)):
        greeted = brief.name if name else None
        text = _message(brief, greeted, facts)
        if (said := _angle(brief)) and _fits(longer := _message(brief, greeted, facts, f" {said}"), text, brief):
            yield longer
        yield text
    yield _barest(brief)


def _angle(brief: Brief) -> str | None:
    return _WORDINGS[brief.language].angle.get(brief.angle or "") if brief.channel in ANGLED else None


def _fits(longer: str, text: str, brief: Brief) -> bool:
    """Whether a sentence more takes no segment more."""
    return brief.channel != "sms" or measure(longer).segments == measure(text).segments


def _message(brief: Brief, name: str | None, facts: bool, angle: str = "") -> str:
    wording = _WORDINGS[brief.language]
    named, unnamed = wording.greeting[brief.tone]
    greeting = named if name else unnamed
    opening = "" if brief.channel == "email" else f"{brief.sender.name}: "
    body = _thanks(brief, facts) + _offer(brief, facts) + angle
    if brief.channel == "email":
        greeting = greeting.strip() + "\n\n" if greeting else ""
        body = body + f"\n\n{wording.sign},\n{brief.sender.name}"
    if not greeting or greeting.endswith(("! ", "\n")):
        body = body[:1].upper() + body[1:]
    text = greeting + body + wording.closing[brief.channel]
    if brief.channel == "sms":
        text = basic(text)
    return opening + text.replace("{name}", name or "")


def _thanks(brief: Brief, facts: bool) -> str:
    tenure = brief.known.get("tenure") if facts and brief.channel != "push" else None
    told, untold = _WORDINGS[brief.language].thanks[brief.tone]
    return told.format(tenure=tenure) if tenure else untold


def _offer(brief: Brief, facts: bool) -> str:
    """The sentences of the offer; the first begins in lower case where nothing stands before it."""
    wording, offer = _WORDINGS[brief.language], brief.offer
    if offer.is_none:
        return wording.question
    plan = brief.known.get("plan") if facts and brief.channel != "push" else None
    on = wording.plan.format(plan=plan) if plan else ""
    have = wording.have[brief.tone]
    if _thanks(brief, facts):
        have = have[:1].upper() + have[1:]
    return f"{have} {offer.words(brief.language)}{on}{offer.running(brief.language)}. {_accept(brief)}."


def _accept(brief: Brief) -> str:
    wording, ends = _WORDINGS[brief.language], brief.offer.ends
    return wording.accept[brief.channel] + (wording.by.format(date=date_text(ends, brief.language)) if ends else "")


def _barest(brief: Brief) -> str:
    wording, offer = _WORDINGS[brief.language], replace(brief.offer, ends=None).text(brief.language)
    told = f"{offer[:1].upper()}{offer[1:]}. {_accept(brief)}." if offer else wording.help
    text = f"{told}{wording.closing[brief.channel]}"
    return f"{brief.sender.name}: {basic(text) if brief.channel == 'sms' else text}"
