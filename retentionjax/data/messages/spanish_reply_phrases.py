"""How an offer is accepted in Spanish, and what is said to a reason to leave; see `accept_phrases`, `angle_phrases`."""

from retentionjax.data.messages.phrases import Choice

ACT = {
    "sms": {
        "warm": Choice(
            (
                "Responda SI y nos encargamos de todo.",
                "Responda SI y lo activamos.",
                "Responda SI si le interesa.",
                "¿Le interesa? Responda SI.",
            )
        ),
        "formal": Choice(
            (
                "Para aceptar, responda SI.",
                "Si desea aceptar, responda SI.",
                "Si le interesa, responda SI.",
                "Por favor, responda SI para aceptar.",
            )
        ),
        "brief": Choice(("Responda SI para aceptar.", "SI para aceptar.", "Responda SI si le interesa.")),
    },
    "push": {
        "warm": Choice(("Toque y lo activamos.", "Toque si le interesa.", "¿Le interesa? Toque aquí.")),
        "formal": Choice(
            ("Para aceptar, toque aquí.", "Si desea aceptar, toque aquí.", "Por favor, toque para aceptar.")
        ),
        "brief": Choice(("Toque para aceptar.", "Toque si le interesa.", "Toque y listo.")),
    },
    "email": {
        "warm": Choice(
            (
                "Responda a este correo y nos encargamos de todo.",
                "¿Le interesa? Responda a este correo con un sí.",
                "Responda con un sí y lo activamos.",
                "Responda a este correo con un sí y hacemos el resto.",
            )
        ),
        "formal": Choice(
            (
                "Para aceptar, responda a este correo.",
                "Si desea aceptar, responda a este correo.",
                "Si le interesa, responda a este correo con un sí.",
                "Por favor, responda a este correo para aceptar.",
            )
        ),
        "brief": Choice(("Responda para aceptar.", "Responda con un sí.", "Para aceptar, responda con un sí.")),
    },
}

ACT_BY = {
    "sms": {
        "warm": Choice(
            (
                "Solo responda SI hasta el {ends}.",
                "Responda SI hasta el {ends} y lo activamos.",
                "¿Le interesa? Responda SI hasta el {ends}.",
            )
        ),
        "formal": Choice(("Para aceptar, responda SI hasta el {ends}.", "Si lo desea, responda SI hasta el {ends}.")),
        "brief": Choice(("Responda SI hasta el {ends}.", "SI para aceptar hasta el {ends}.")),
    },
    "push": {
        "warm": Choice(("Toque hasta el {ends} y lo activamos.", "¿Le interesa? Toque hasta el {ends}.")),
        "formal": Choice(("Para aceptar, toque hasta el {ends}.",)),
        "brief": Choice(("Toque hasta el {ends}.",)),
    },
    "email": {
        "warm": Choice(
            (
                "Responda a este correo hasta el {ends} y nos encargamos de todo.",
                "¿Le interesa? Responda con un sí hasta el {ends}.",
            )
        ),
        "formal": Choice(
            (
                "Para aceptar, responda a este correo hasta el {ends}.",
                "Si desea aceptar, responda con un sí hasta el {ends}.",
            )
        ),
        "brief": Choice(("Responda hasta el {ends} para aceptar.", "Responda con un sí hasta el {ends}.")),
    },
}

ANGLE = {
    "price": {
        "warm": Choice(
            (
                "¿Su plan sigue siendo el adecuado? Pregúntenos.",
                "¿Revisamos su plan con usted? Pregúntenos.",
                "Nos encantaría revisar su plan con usted.",
            )
        ),
        "formal": Choice(
            (
                "Nuestro equipo puede revisar su plan con usted.",
                "Podemos revisar su plan con usted.",
                "Podemos comprobar si su plan es el adecuado.",
            )
        ),
        "brief": Choice(("¿Es el plan adecuado? Pregúntenos.", "Podemos revisar su plan.", "¿Revisamos su plan?")),
    },
    "contract": {
        "warm": Choice(
            (
                "Su contrato sigue igual.",
                "Su contrato no cambia.",
                "¿Preguntas sobre su contrato? Escríbanos.",
            )
        ),
        "formal": Choice(
            (
                "Su contrato no cambia.",
                "Su contrato se mantiene sin cambios.",
                "Podemos explicarle con gusto su contrato.",
            )
        ),
        "brief": Choice(("Su contrato sigue igual.", "Mismo contrato.", "¿Dudas sobre su contrato? Escríbanos.")),
    },
    "support": {
        "warm": Choice(
            (
                "Si algo no funciona bien, queremos ayudarle.",
                "¿Necesita ayuda? Le atenderá una persona.",
                "¿Algo no va bien? Cuéntenos.",
            )
        ),
        "formal": Choice(
            (
                "Si algo no funciona bien, podemos ayudarle.",
                "Nuestro equipo de asistencia puede ayudarle.",
                "Nuestro equipo le ayudará con gusto.",
            )
        ),
        "brief": Choice(("¿Algo no funciona? Escríbanos.", "¿Necesita ayuda? Escríbanos.", "Le atenderá una persona.")),
    },
    "unused": {
        "warm": Choice(
            (
                "Su servicio puede darle más. Pregúntenos.",
                "¿No lo usa mucho? Nos encantaría ayudarle a empezar.",
                "¿No sabe cómo usarlo? Pregúntenos.",
            )
        ),
        "formal": Choice(
            (
                "Podemos ayudarle a disfrutar más de su servicio.",
                "Nuestro equipo puede ayudarle a empezar.",
                "Podemos ayudarle a usarlo.",
            )
        ),
        "brief": Choice(
            (
                "¿Necesita ayuda para empezar? Escríbanos.",
                "¿No lo usa mucho? Escríbanos.",
                "Podemos ayudarle a empezar.",
            )
        ),
    },
}
