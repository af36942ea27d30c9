"""Spanish, as grounding reads it: folded, so without accents (`dias`, `ano`)."""

from retentionjax.shield.lexicon import Contexts, Lexicon

_ONES = (
    "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce", "trece",
    "catorce", "quince", "dieciseis", "diecisiete", "dieciocho", "diecinueve", "veinte", "veintiuno", "veintidos",
    "veintitres", "veinticuatro", "veinticinco", "veintiseis", "veintisiete", "veintiocho", "veintinueve",
)  # fmt: skip
_TENS = ("treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")
_LINK = r"(?:(?:por|de|estos|esos|los|las|la|el|ultimos|pasados|tus|sus|tu|su|mas|durante|con|hace|casi|ya) ?)*$"
_WITH = r"con (?:nosotros|·+)"
_REDUCED = r"(?:de descuento|descuento|menos|de ahorro|rebaja|mas barat[oa])"

SPANISH = Lexicon(
    ones={**{word: value for value, word in enumerate(_ONES, 1)}, "cero": 0, "docena": 12},
    tens={word: 10 * value for value, word in enumerate(_TENS, 3)},
    hundreds={"cien": 100, "ciento": 100, "doscientos": 200, "trescientos": 300},
    joint=" y ",
    behind_hundreds=" ",
    percent="por ?ciento",
    money={"dolar": "$", "euro": "€", "libra": "£", "peso": "$", "centavo": "¢", "centimo": "¢"},
    units={
        "segundo": ("minutes", 1 / 60),
        "minuto": ("minutes", 1.0),
        "hora": ("minutes", 60.0),
        **dict.fromkeys(("dia", "noche"), ("days", 1.0)),
        "semana": ("days", 7.0),
        "quincena": ("days", 15.0),
        "mes": ("months", 1.0),
        "trimestre": ("months", 3.0),
        "ano": ("months", 12.0),
        "decada": ("months", 120.0),
        **dict.fromkeys(("factura", "pago", "recibo", "cuota", "mensualidad"), ("bills", 1.0)),
    },
    plural="(?:e?s)?",
    article="una?",
    half="medi[oa]",
    and_half=" y medi[oa]",
    conjunction="y",
    some=r"vari[oa]s|un[oa]s|algun[oa]s|much[oa]s|(?:un )?par de",
    between=r"complet[oa]s|enter[oa]s|habiles|naturales|primer[oa]s|proxim[oa]s",
    months=(
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ),
    weekdays=("lunes", "martes", "miercoles", "jueves", "viernes", "sabado", "domingo"),
    dates=(r"(?<!\d)(?P<d>\d{{1,2}}){ordinal}?(?: de)? (?P<mon>{month})(?!\w)(?:\.?(?: de| del|,)? (?P<y>\d{{4}}))?",),
    ordinal="[oº]",
    times=(
        r"(?:(?:el|este|hasta el|antes del|proximo|cada) )?(?:{weekday})s?"
        r"|(?:en|hasta|de|este|proximo|desde|antes de|finales de|fin de) (?:{month})"
        r"|(?:esta noche|manana|ayer|medianoche|mediodia|fin de semana|fines de semana)"
        r"|(?:(?:solo|hasta|valido|antes de|termina|acaba|vence) )hoy"
        r"|(?:fin|final|finales) (?:de |del )?(?:dia|semana|mes|trimestre|ano|temporada|verano|invierno)"
        r"|(?:en|dentro de) (?:la|una|el|un) (?:proxim[oa] )?(?:hora|dia|semana)|(?:esta|proxima) (?:hora|semana)"
        r"|(?:este|proximo) (?:ano|trimestre|verano|invierno|otono)"
        r"|(?:navidad(?:es)?|nochebuena|nochevieja|ano nuevo|reyes|semana santa|black friday|cyber monday"
        r"|dia de (?:la madre|el padre|muertos))"
        r"|a las? \d{{1,2}}(?::\d\d)?|\d{{1,2}}(?::\d\d)? ?(?:h|horas|am|pm|a\.m\.|p\.m\.)(?= |\.|,|$)"
        r"|(?:19|20)\d\d"
    ),
    contexts=Contexts(
        states_before=r"ahorr\w+|descuento|rebaj\w+|reduc\w+|baj\w+|menos|disfrut\w+|obten\w*|llev\w+",
        states_after=rf"^ (?:[a-z'·]+ ){{0,3}}?{_REDUCED}(?!\w)|^ (?:en|sobre|de|menos) (?:en )?(?:tu|su)(?!\w)",
        qualifies=(
            r"(?:hasta|al menos|mas de?|menos de|casi|cerca de|alrededor de|como minimo|minimo|entre|desde|solo|otro"
            r"|\d ?(?:-|a|y|o))(?: un| el)? ?$"
        ),
        adds=r"(?<!\w)(?:otro|extra|adicional|segundo|mas|o|ademas|tambien)(?: un| el)? ?$",
        otherwise=(
            r"^ (?:mas|extra|de (?:nuestros|los|todos|velocidad|interes|satisfaccion)"
            r"|(?:cada|al|por) (?:dia|semana|mes|ano)|segur[oa]s?|satisfech[oa]s?)"
        ),
        joins=r"(?<!\w)(?:y|o|mas|tambien|ademas|luego|despues|otro)(?!\w)|[+&]",
        two=(
            r"(?<!\w)(?:dos|2|tres|3|ambas|ambos|varias|varios|otra|otro|segunda|segundo|mas)"
            r" (?:nuev[oa]s? |gran(?:des)? )?(?:ofertas?|descuentos?|promocion(?:es)?)(?!\w)"
            r"|(?:elige|elija|escoge|escoja) (?:entre|una|uno|tu|su)|a elegir|(?:la|el) que prefier[ae]s?"
            r"|(?:ademas de|acumulable con|sumado a)[^.!?]{0,25}(?:descuento|oferta|%)"
        ),
        bare=r"(?<![\w$€£.,%/-])\d+ de descuento(?!\w)",
        cut_before=(
            r"(?:ahorr\w+|abono|credito|descuento|devolucion|solo|ahora|pag\w+|rebajad[oa] a|por)(?: de| por| a)?"
            r"(?: unos| casi| cerca de| alrededor de)? ?$"
        ),
        cut_after=r"^ ?(?:de (?:descuento|credito|abono|ahorro|vuelta)|menos|mas barat[oa])",
        paid_before=r"(?:pag\w+|solo|ahora|por|a|rebajad[oa] a)(?: solo)? ?$",
        regular=r"^(?: [a-z]+){0,3} ?(?:al|por|cada|/) ?(?:dia|semana|mes|factura|ano)",
        tenure_before=(
            rf"(?:{_WITH}|cliente|juntos|llevas?|llev[ae]is?|lealtad|fidelidad|confianza|cumpl\w+|celebra\w*),? {_LINK}"
            rf"|gracias por {_LINK}|agradecemos (?:tus|sus|los|estos) ?$|(?:ultimos|pasados|estos|esos) ?$"
        ),
        tenure_after=(
            rf"^ ?(?:ya |completos )?(?:{_WITH}|como client[ea]|de (?:lealtad|fidelidad|confianza|client[ea])|juntos"
            r"|atras|siendo|despues|de contrato|de permanencia|de compromiso)"
        ),
        offer_before=(
            r"(?:%|por ciento|descuento|menos|ahorro|oferta|factura|plan|precio|tarifa|dura|valid[oa]|·)"
            r"(?: [a-z'·-]+){0,5}? ?(?:por|durante|de|en|hasta|los) ?(?:los |las |tus |sus |proxim[oa]s )*$"
        ),
        offer_after=(
            r"^ ?(?:de |a |con |al )?(?:un |el )?(?:\d+(?:[.,]\d+)? ?%|[a-z]+ por ciento|descuento|ahorro|[$€£])"
        ),
        opens=r"^ ?(?:[a-z'·]+, )?(?:(?:tras|despues de|con) ?)?$",
        loose=(
            r"(?:hasta|al menos|mas de|casi|minimo|como minimo|como maximo|otros|tras|despues de|antes de|menos de"
            r"|cada)(?: los| las| tus| sus)?(?: proxim[oa]s| primer[oa]s)? ?$|(?<!\w)(?:en|dentro de) ?$"
        ),
        window=r"(?<!\w)(?:en|dentro de|durante)(?: los| las)?(?: proxim[oa]s)? ?$",
        past=r"(?<!\w)mas de ?$",
        nearly=r"(?<!\w)casi ?$",
        article=r"(?:por|durante|en|otr[oa]|cada|tod[oa]|primer|dentro de|de) ?$",
        extends_after=r"^,? ?(?:(?:y|o|e) (?:mas|dos|tres|despues|en adelante|pico|siempre)|\+|como minimo|al menos)",
        beside=r"^,? (?:y|mas|ademas de) (?:un|una|otro|otra) (?!vez|abrazo|saludo)",
        joined=(
            r"^,? (?:y|mas|ademas de|junto con)"
            r" (?:(?:un|una|otr[oa]|dos|algun[oa]s?) (?!vez|abrazo|saludo)[a-z]|[a-z]+ (?:gratis|tambien))"
        ),
        next=(
            r"(?<!\w)(?:(?:proxim[oa]|primer[oa]?|est[ae]|siguiente|actual) (?:mes(?:es)?|facturas?|pago|recibo|cuota)"
            r"|(?:meses|semanas|anos|dias))(?!\w)"
        ),
        bound=r"(?:descuento|%|por|durante|en)(?: [a-z'·]+){0,3} ?$",
        deadline=(
            r"(?<!\w)(?:antes|hasta|para|termina|acaba|vence|caduca|valid[oa]|solo|desde|a partir|empieza|ultimo)"
            r"(?: de| del| el| la| este| esta| al| dia| fin)* [\w':.]+(?: [\w']+)?$|fin de [\w ]+$"
        ),
        binds=(
            r"(?<!\w)(?:renuev|renov|prolong|prorrog|ampli|compromet|vincul|atad|ligad|continu|sigue)\w*"
            r"(?: [a-z'·]+){0,6} (?:por|durante|hasta|a) (?:otr[oa]s ?|un[oa]?s? ?|al menos |los proximos )*$"
            r"|(?<!\w)(?:contrato|permanencia|suscripcion|plan|poliza|acuerdo)(?: [a-z']+){0,4} (?:por )?otr[oa]s? ?$"
        ),
        taken=r"(?<!\w)(?:acept\w+|respond\w+|reclam\w+|canje\w+|aprovech\w+|oferta|descuento|suyo|tuyo|si)(?!\w)",
        had=r"(?<!\w)(?:facturas?|precio|saldo|paga\w*|cuesta|solo|mas|gratis|quedan?|cada|regalos?|entradas?|gb)(?!\w)",
        owned=r"(?<!\w)(?:su|sus|tu|tus|en|de)(?: (?:el|la|su|tu|[a-z]+|·+)){0,2} $",
        starts=r"(?:empieza|comienza|desde|a partir|despues|tras)(?: el| del| de)? ?$",
        takes=r"(?<!\w)(?:tarda|tardara|lleva|basta|bastan)(?: solo| apenas| menos de)* ?$",
        harmless=(
            r"(?<!\w)(?:24/7|24 ?x ?7|24 horas|[345]g|wi-?fi [4-7]|(?:del|de) (?:0|1) al (?:5|10)"
            r"|(?:una?|dos|tres|\d+) (?:horas?|dias?|semanas?) (?:mas tarde|antes|mas pronto) (?:que|de lo)"
            r"|(?:version|temporada|capitulo|parte|paso|nivel|episodio) \d+(?:\.\d+)*)"
            r"(?!\w)|(?<![^\n])\d{1,2}[.)](?=\s)"
        ),
    ),
)
