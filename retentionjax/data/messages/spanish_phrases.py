"""The Spanish words of the grammar: neutral, by «usted» as the shield's templates, and of no gender; see `phrases`.

No model learns Spanish, so nothing is held out. An exclamation mark stands in greetings alone, whose pair none breaks.
"""

from retentionjax.data.messages.phrases import Choice


def discounts(*phrases: str) -> Choice:
    """Each phrase about the discount on the plan, then on the bill."""
    on = (" en su {plan} durante {days}", " en su factura durante {days}")
    return Choice(
        tuple(phrase.replace("…", f"un {{discount}} de descuento{each}") for each in on for phrase in phrases)
    )


GREETING = {
    "warm": Choice(("¡Hola, {name}!", "¡Hola de nuevo, {name}!", "Hola, {name}.", "¡Hola!")),
    "formal": Choice(("Buenos días, {name}.", "Saludos, {name}.", "Buenos días.")),
    "brief": Choice(("Hola, {name}.", "{name},", "Hola.")),
}

SHORT = {
    "greeting": GREETING,
    "bond": {
        "warm": Choice(
            (
                "Gracias por {tenure} con {sender}.",
                "Gracias por elegir {sender}.",
                "Gracias por confiar en {sender}.",
                "En {sender} nos alegra contar con usted.",
                "Lleva {tenure} con {sender} y se lo agradecemos.",
                "En {sender} le agradecemos {tenure} de confianza.",
                "Gracias por {tenure} con nosotros.",
                "Gracias por estar con nosotros.",
                "Nos alegra contar con usted.",
            )
        ),
        "formal": Choice(
            (
                "{sender} le agradece {tenure} de confianza.",
                "{sender} agradece su confianza.",
                "En {sender} valoramos su confianza.",
                "En nombre de {sender}, gracias por su confianza.",
                "Le agradecemos {tenure} de confianza.",
                "Agradecemos su confianza.",
                "Valoramos su confianza.",
                "Es un placer contar con usted.",
            )
        ),
        "brief": Choice(
            (
                "Le escribe {sender}.",
                "Un saludo de {sender}.",
                "Gracias por {tenure} con {sender}.",
                "Gracias por confiar en {sender}.",
                "Gracias por {tenure} con nosotros.",
                "Gracias por su confianza.",
            )
        ),
    },
    "offer": {
        "warm": discounts(
            "Le damos ….",
            "Queremos darle ….",
            "Disfrute de ….",
            "Tenemos para usted ….",
            "¿Le gustaría …?",
            "¿Qué le parece …?",
            "Como agradecimiento, le damos ….",
        ),
        "formal": discounts(
            "Le ofrecemos ….",
            "Nos complace ofrecerle ….",
            "En agradecimiento, le ofrecemos ….",
            "Puede disfrutar de ….",
            "Deseamos ofrecerle ….",
        ),
        "brief": discounts("Le damos ….", "Para usted: ….", "¿Quiere …?", "Nuestra oferta: ….", "Disfrute de …."),
    },
    "other_offer": {
        "warm": Choice(
            (
                "Queremos darle {offer}.",
                "Le damos {offer} en su {plan}.",
                "Tenemos para usted {offer}.",
                "¿Qué le parece {offer}?",
                "¿Le gustaría tener {offer}?",
                "Como agradecimiento, le damos {offer}.",
            )
        ),
        "formal": Choice(
            (
                "Le ofrecemos {offer}.",
                "Nos complace ofrecerle {offer}.",
                "En agradecimiento, le ofrecemos {offer}.",
                "Deseamos ofrecerle {offer} en su {plan}.",
            )
        ),
        "brief": Choice(("Para usted: {offer}.", "¿Quiere {offer}?", "Nuestra oferta: {offer}.", "Le damos {offer}.")),
    },
    "check_in": {
        "warm": Choice(
            (
                "¿Qué tal va su {plan}? Nos encantaría saberlo.",
                "¿Le va bien con su {plan}? Nos gustaría saberlo.",
                "¿Podemos ayudarle con su {plan}? Pregúntenos.",
                "Si necesita ayuda con su {plan}, aquí estamos.",
                "Nos encantaría ayudarle con su {plan}.",
                "¿Cómo podemos mejorar? Nos encantaría saberlo.",
                "¿Podemos ayudarle en algo? Pregúntenos.",
            )
        ),
        "formal": Choice(
            (
                "Nuestro equipo puede revisar su {plan} con usted.",
                "Si tiene preguntas sobre su {plan}, podemos ayudarle.",
                "¿Podemos ayudarle con su {plan}?",
                "Agradecemos sus comentarios sobre su {plan}.",
                "Agradecemos sus comentarios sobre nuestro servicio.",
                "Nuestro equipo responderá con gusto a sus preguntas.",
            )
        ),
        "brief": Choice(
            (
                "¿Todo bien con su {plan}?",
                "¿Preguntas sobre su {plan}? Podemos ayudarle.",
                "¿Le va bien con su {plan}? Nos gustaría saberlo.",
                "¿Necesita ayuda con su {plan}? Pregúntenos.",
                "¿Alguna pregunta? Podemos ayudarle.",
                "¿Va todo bien? Nos gustaría saberlo.",
            )
        ),
    },
    "close": {
        "warm": Choice(
            (
                "Aquí estamos para ayudarle.",
                "¿Alguna duda? Escríbanos.",
                "Le deseamos un buen día.",
                "Le deseamos una buena semana.",
            )
        ),
        "formal": Choice(
            ("Gracias por su confianza.", "Quedamos a su disposición.", "Gracias por su tiempo.", "Reciba un saludo.")
        ),
        "brief": Choice(("Gracias.", "¿Dudas? Escríbanos.", "Muchas gracias.", "Un saludo.")),
    },
}

UNCHANGED = r"\bigual\b|cambi|condiciones|mismo contrato|no modifica|nada mas|formularios|el resto|de todo"
ONCE = (
    UNCHANGED,
    r"\bayud|aqui estamos|pregunt|\bdudas?\b|escribanos|cuentenos|atender|responderemos",
    r"gracias|agrad",
    r"\balegr",
    r"revis|comprobar|adecuado",
    r"¿(?:le gustaria|que le parece|quiere|le interesa)",
    r"disposicion|servicio",
    r"placer|encant",
    r"queremos darle",
    r"\bsaludos?\b",
    r"¿(?:le va|que tal|todo)",
)
"""What one phrase of a message may say, and no second one (the first none where nothing is offered); without the
accents that the GSM alphabet lacks."""

PREFIX = Choice(("{sender}:", "Mensaje de {sender}:"))

OPT_OUT = {
    "sms": Choice(
        (
            "STOP para darse de baja.",
            "Responda STOP para darse de baja.",
            "Envíe STOP para darse de baja.",
            "Responda STOP para no recibir más mensajes.",
        )
    ),
    "push": Choice(
        (
            "Cambie sus avisos en los ajustes.",
            "Puede cambiar sus avisos en los ajustes.",
            "Gestione sus avisos en los ajustes.",
        )
    ),
    "email": Choice(
        (
            "Puede darse de baja en cualquier momento con el enlace de abajo.",
            "Para darse de baja, use el enlace de abajo.",
            "¿Prefiere menos correos? Puede darse de baja abajo.",
            "Con el enlace de abajo puede darse de baja.",
        )
    ),
}
