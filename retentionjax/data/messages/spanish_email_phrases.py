"""The e-mail register in Spanish; see `email_phrases`, `spanish`."""

from retentionjax.data.messages.phrases import Choice
from retentionjax.data.messages.spanish_phrases import discounts

EMAIL = {
    "greeting": {
        "warm": Choice(("¡Hola, {name}!", "¡Hola de nuevo, {name}!", "Hola, {name}:", "¡Hola!")),
        "formal": Choice(("Buenos días, {name}:", "Saludos, {name}:", "Buenos días:")),
        "brief": Choice(("Hola, {name}:", "{name}:", "Hola:")),
    },
    "bond": {
        "warm": Choice(
            (
                "Muchas gracias por {tenure} con nosotros en {sender}.",
                "Lleva {tenure} con {sender} y se lo agradecemos de corazón.",
                "En {sender} nos alegra mucho contar con usted.",
                "Nos alegra que haya elegido {sender} y queremos darle las gracias.",
                "En {sender} le agradecemos {tenure} de confianza.",
                "Lleva {tenure} con nosotros y queremos darle las gracias.",
                "Nos alegra contar con usted y queremos darle las gracias.",
                "Es una alegría contar con usted.",
            )
        ),
        "formal": Choice(
            (
                "En nombre de {sender}, le agradecemos {tenure} de confianza.",
                "En {sender} valoramos su confianza y queremos darle las gracias.",
                "Le escribimos en nombre de {sender} para agradecer su confianza.",
                "{sender} le agradece {tenure} de confianza.",
                "Lleva {tenure} con nosotros y se lo agradecemos.",
                "Agradecemos sinceramente su confianza.",
                "Valoramos su confianza y queremos darle las gracias.",
            )
        ),
        "brief": Choice(
            (
                "Gracias por {tenure} con {sender}.",
                "Gracias por confiar en {sender}.",
                "Un breve mensaje del equipo de {sender}.",
                "Gracias por {tenure} con nosotros.",
                "Tenemos un breve mensaje para usted.",
            )
        ),
    },
    "offer": {
        "warm": discounts(
            "Nos gustaría ofrecerle ….",
            "Queremos darle ….",
            "¿Qué le parece …?",
            "Tenemos para usted ….",
            "Nos encantaría darle ….",
            "Hemos preparado para usted ….",
        ),
        "formal": discounts(
            "Nos complace ofrecerle ….",
            "En agradecimiento a su confianza, le ofrecemos ….",
            "Nos gustaría ofrecerle ….",
            "Tenemos el placer de ofrecerle ….",
            "Puede disfrutar de ….",
        ),
        "brief": discounts("Podemos darle ….", "Nuestra oferta para usted: ….", "Disfrute de ….", "Le ofrecemos …."),
    },
    "other_offer": {
        "warm": Choice(
            (
                "Nos gustaría ofrecerle {offer}.",
                "Queremos darle {offer} en su {plan}.",
                "Tenemos para usted {offer}.",
                "¿Qué le parece {offer}?",
                "Nos encantaría darle {offer}.",
                "Hemos preparado para usted {offer}.",
            )
        ),
        "formal": Choice(
            (
                "Nos complace ofrecerle {offer}.",
                "En agradecimiento a su confianza, le ofrecemos {offer}.",
                "Nos gustaría ofrecerle {offer} en su {plan}.",
                "Tenemos el placer de ofrecerle {offer}.",
            )
        ),
        "brief": Choice(("Podemos darle {offer}.", "Nuestra oferta para usted: {offer}.", "Le ofrecemos {offer}.")),
    },
    "check_in": {
        "warm": Choice(
            (
                "Nos encantaría saber qué tal va su {plan}.",
                "¿Le va bien con su {plan}? Si no, nos encantaría ayudarle.",
                "Si hay algo que podamos mejorar, nos encantaría saberlo.",
                "¿Qué tal va su {plan}? Nos gustaría saberlo.",
                "Si tiene una pregunta, responda a este correo y le ayudaremos.",
            )
        ),
        "formal": Choice(
            (
                "Agradecemos sus comentarios sobre su {plan} y sobre nuestro servicio.",
                "Nuestro equipo puede revisar su {plan} con usted cuando lo desee.",
                "Si tiene preguntas sobre su {plan}, responda a este correo.",
                "Nos gustaría saber si nuestro equipo puede ayudarle en algo.",
                "Nos gustaría saber si nuestro servicio cumple sus expectativas.",
            )
        ),
        "brief": Choice(
            (
                "¿Le va bien con su {plan}? Si no, responda a este correo.",
                "Si tiene una pregunta sobre su {plan}, responda a este correo.",
                "¿Cómo podemos ayudarle con su {plan}?",
                "¿Podemos ayudarle en algo?",
                "Si podemos ayudarle, responda a este correo.",
                "¿Va todo bien? Nos gustaría saberlo.",
            )
        ),
    },
    "detail": {
        "warm": Choice(
            (
                "No hay formularios y su plan sigue igual.",
                "Todo lo demás de su servicio sigue igual.",
                "Nada más cambia en su plan.",
            )
        ),
        "formal": Choice(
            (
                "Las demás condiciones de su servicio no cambian.",
                "No hay formularios.",
                "Esto no modifica su contrato actual.",
                "Su servicio sigue igual.",
            )
        ),
        "brief": Choice(
            (
                "Nada más cambia.",
                "Sin formularios.",
                "El servicio sigue igual.",
            )
        ),
    },
    "questions": {
        "warm": Choice(
            (
                "¿Alguna pregunta? Escríbanos y le atenderá una persona.",
                "¿Alguna duda? Le ayudaremos con gusto.",
            )
        ),
        "formal": Choice(
            (
                "Si tiene preguntas, nuestro equipo le atenderá con gusto.",
                "Responderemos con gusto a sus preguntas.",
            )
        ),
        "brief": Choice(("¿Dudas? Escríbanos.", "Podemos ayudarle.")),
    },
    "close": {
        "warm": Choice(
            (
                "Le deseamos un buen día.",
                "Le deseamos una buena semana.",
                "Gracias por estar con nosotros.",
            )
        ),
        "formal": Choice(
            (
                "Quedamos a su disposición y le agradecemos su confianza.",
                "Quedamos a la espera de su respuesta.",
                "Le agradecemos su tiempo y su confianza.",
                "Nuestro equipo queda a su disposición.",
            )
        ),
        "brief": Choice(("Gracias.", "¿Dudas? Escríbanos.", "Aquí estamos para ayudarle.", "Gracias por su tiempo.")),
    },
    "sign": {
        "warm": Choice(("Un saludo cordial,\n{sender}", "Con gratitud,\nsu equipo de {sender}", "Saludos,\n{sender}")),
        "formal": Choice(("Atentamente,\n{sender}", "Reciba un cordial saludo,\n{sender}")),
        "brief": Choice(("Un saludo,\n{sender}", "Saludos,\n{sender}", "El equipo de {sender}")),
    },
}
