"""English, as grounding reads it."""

from retentionjax.shield.lexicon import Contexts, Lexicon

_ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_LINK = (
    r"(?:(?:for|of|these|those|the|past|last|your|over|more|than|a|as|us|being|with|about|nearly|almost|our|all|wonderful"
    r"|great|lovely|good|happy|whole|full|customer|been|by|little|bit|just|well|close|to) ?)*$"
)
_WITH = r"(?<!up )with (?:us|·+)"
_BEEN = r"been(?: (?:on|at|in|using|reading|(?:a |one )?[a-z]+ (?:of|at|with)) ·+)?"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = "|".join(_WEEKDAYS)
_HAPPENED = (
    r"outage|fault|delay|mix-up|mistake|visit|appointment|call|delivery|paper|storm|match|class|meeting|issues?|problems?"
    r"|buffering|hiccups?|glitch(?:es)?|blips?|downtime|muddle|trouble|disruption|breakdown|interruption|letter|article|edition|obituary"
)
_REDUCED = r"(?:off|discount|less|lower|smaller|lighter|cut|reduction|savings?|cheaper)"

ENGLISH = Lexicon(
    ones={
        **{word: value for value, word in enumerate(_ONES, 1)},
        "zero": 0,
        "dozen": 12,
    },
    tens={word: 10 * value for value, word in enumerate(_TENS, 2)},
    hundreds={
        **dict.fromkeys(("hundred", "a hundred"), 100),
        **{f"{word} hundred": 100 * value for value, word in enumerate(_ONES[:9], 1)},
    },
    joint="[ -]",
    behind_hundreds="(?: and)? ",
    percent=r"percent(?:age)?|per cent|pct",
    money={
        **dict.fromkeys(("dollar", "us dollar"), "$"),
        "buck": "$",
        "euro": "€",
        "pound": "£",
        "quid": "£",
        "yen": "¥",
        "rupee": "₹",
        "cent": "¢",
        **dict.fromkeys(("penny", "pence"), "¢"),
    },
    units={
        **dict.fromkeys(("second", "sec"), ("minutes", 1 / 60)),
        **dict.fromkeys(("minute", "min"), ("minutes", 1.0)),
        **dict.fromkeys(("hour", "hr"), ("minutes", 60.0)),
        **dict.fromkeys(("day", "night"), ("days", 1.0)),
        "week": ("days", 7.0),
        "fortnight": ("days", 14.0),
        **dict.fromkeys(("month", "mo", "mth"), ("months", 1.0)),
        "quarter": ("months", 3.0),
        **dict.fromkeys(("year", "yr"), ("months", 12.0)),
        "decade": ("months", 120.0),
        **dict.fromkeys(("bill", "payment", "statement", "invoice", "cycle", "period"), ("bills", 1.0)),
    },
    plural="(?:'?s'?)?",
    article="an?",
    half="half an?",
    and_half=" and a half",
    conjunction="and",
    some=r"several|a? ?few|(?:a )?couple(?: of)?|many|multiple",
    between=r"full|whole|more|extra|additional|calendar|straight|billing|monthly|great|good|happy|lovely|wonderful",
    months=(
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ),
    weekdays=_WEEKDAYS,
    dates=(
        r"(?<!\w)(?P<mon>{month})\.? (?:the )?(?P<d>\d{{1,2}}){ordinal}?(?:,? (?P<y>\d{{4}}))?(?![\d%])",
        r"(?<!\d)(?P<d>\d{{1,2}}){ordinal}?(?: of)?[ -](?P<mon>{month})(?!\w)(?:\.?,?[ -](?P<y>\d{{4}}))?",
    ),
    ordinal="(?:st|nd|rd|th)",
    times=(
        r"(?:by|until|till?|through|thru|before|on|this|next|every|ends?|expires?|of|coming)"
        r" (?:{weekday}|mon|tue|wed|thu|fri)"
        r"|(?:{weekday})s?"
        r"|(?:in|until|till?|through|by|of|this|next|since|before|late|early|mid|end of) (?:{month})"
        r"|\d{{1,2}}(?:st|nd|rd|th)"
        r"|(?:tonight|tomorrow|yesterday|midnight|noon|weekends?|eom|eod)"
        r"|(?:ends?|expires?|valid|good|by|until|only|before) today"
        r"|end of (?:the |this |next |your )?(?:day|week|month|quarter|year|season|summer|winter|spring|fall)"
        r"|(?:within|in) (?:the|an?) (?:next )?(?:hour|day|week)|(?:this|next|coming) hour"
        r"|(?:this|next|until|through|till|by|in|before|all|over the) (?:the )?"
        r"(?:week|weekend|year|quarter|season|summer|winter|spring|fall|autumn)"
        r"|(?:christmas|thanksgiving|halloween|easter|new year'?s?(?: eve| day)?|black friday|cyber monday|labor day"
        r"|memorial day|independence day|valentine'?s?(?: day)?|mother'?s day|father'?s day|holidays?)"
        r"|\d{{1,2}}(?::\d\d)? ?(?:am|pm|a\.m\.|p\.m\.|o'clock)"
        r"|(?:19|20)\d\d"
    ),
    contexts=Contexts(
        states_before=(
            r"by|sav\w+|minus|bring|down by|discount|reduc\w+|lower|cut|less|take|knock|drop|trim|shav\w+|slash"
            r"|offer|enjoy|get"
        ),
        states_after=(
            rf"^[ -]*(?:[a-z'·]+ ){{0,4}}?{_REDUCED}(?!\w)|^ (?:of|on|from) your|^,? ?(?:for|to be)(?!\w)|^ ?[.,:;?]"
        ),
        qualifies=(
            r"(?:(?<!how )(?<!what )about|roughly|approximately|some|up to|at most|at least|more than|less than|over"
            r"|around|almost|nearly|as much as|minimum of|maximum of"
            r"|sav\w+ about|from|between|only|\d ?(?:-|to|and|or))(?: an?| the)? ?$"
        ),
        adds=r"(?<!\w)(?:another|extra|additional|further|second|plus|or|also)(?: an?| the)? ?$",
        otherwise=(
            r"^[ -]*(?:more|extra|faster|bonus|cash|increase|higher|rise|back|interest|apr|satisf\w*"
            r"|of (?:our|all|customers)|(?:each|every|per|a) (?:day|week|month|year)"
            r"|(?:off|less|lower|cheaper) (?:each|every|per|a) (?:day|week|year)|happier|sure|certain)"
        ),
        joins=r"(?<!\w)(?:plus|and|or|also|another|extra|then)(?!\w)|[+&]",
        two=(
            r"(?<!\w)(?<!combined with )"
            r"(?:two|2|three|3|both|several|multiple|another|second|additional|extra|more|other)"
            r" (?:special |great |exclusive |new )?(?:offers?|discounts?|deals?)(?!\w)"
            r"|(?<!\w)(?:twice|two times|three times)(?= (?:over|the|your|as|a|in a row)(?!\w))"
            r"|(?<!\w)(?:x ?[2-9]|[2-9] ?x)(?!\w)"
            r"|(?:(?<!cut )(?<!switched )off|%|percent|credit|discount|days)[^.!?]{0,12}"
            r" (?:twice|two times|three times)(?!\w)"
            r"|choose (?:between|from|one)|a quarter of [a-z·]+ ·{4,}"
            r"|your choice of|(?:whichever|which ever) (?:you|one)"
            r"|(?:on top of|(?<!t be )combin\w+ with|stack\w*|in addition to)[^.!?]{0,25}(?:off|discount|offer|%)"
        ),
        bare=r"(?<![\w$€£.,%/-])\d+(?:\.\d+)? (?:off|discount)(?!\w)",
        cut_before=(
            r"(?:sav\w+|credits?|discount|off|back|only|just|now|pay|get|reduced to|down to|cut)"
            r"(?: of| for| you| by| to)?(?: about| around| roughly| nearly| almost| some)? ?$"
        ),
        cut_after=(
            r"^ ?(?:off|discount|credit|back|savings?|less|cheaper|lower|reduction"
            r"|(?:in|on)?to your (?:account|balance|bill|policy|card))"
        ),
        paid_before=r"(?:pay(?:ing)?|only|just|now|for|reduced to|down to|at)(?: only| just)? ?$",
        regular=(
            r"^(?: off)? (?:each|every|all|any)(?! other)(?! (?:your|one|of us))"
            r"|^(?: [a-z]+){0,2} ?(?:(?:a|per|each|every|/) ?(?:day|week|month|bill|year)"
            r"|,? ?(?:each|apiece|(?:monthly|weekly|yearly|annually)(?! (?:bill|charge|payment))))(?!\w)"
        ),
        tenure_before=(
            rf"(?:(?<!\w){_WITH}|customer|subscriber|member|together|{_BEEN}|loyal(?:ty)?|trust|custom|stayed|staying|spent"
            rf"|you(?:'ve| have) (?:had|used)(?: [a-z'·]+){{1,4}}|(?:being|been)(?: an?)? part of(?: [a-z'·]+){{1,4}}"
            rf"|reach(?:ed|ing)|celebrat\w+|chos(?:e|en) us|joined us|having you|had you|served you),? {_LINK}"
            rf"|(?:thank(?:s| you)|grateful|recogni[sz]ing)(?: [a-z·]+){{0,3}}? for {_LINK}"
            rf"|·,? after ?$|appreciate (?:your|the|these|those) {_LINK}|(?:past|previous|last|these|those) ?$"
        ),
        tenure_after=(
            rf"^'? ?(?:already |now |strong |and counting )?(?:: ?thank|it'?s been|it has been|{_WITH}|as (?:a|our)"
            r"|of (?:being|loyalty|service|trust|custom|your)"
            r"|of (?:membership|custom|subscription|visits|orders|deliveries)"
            r"|of [a-z'· -]{2,40} (?:with|at|from) (?:us|·+)|(?:is|are) (?:quite )?(?:something|a long time|no small)"
            r"|together|ago|(?:in|on)(?= ?[.!,])|strong|and counting"
            r"|later|anniversary|since you|contract|agreement|commitment|term)"
        ),
        offer_before=(
            r"(?:%|percent|off|discounts?|lower|less|savings?|offer|bill|charge|plan|price|rate|it|runs?|lasts?|valid"
            r"|good|yours|·)(?: [a-z'·-]+){0,5}? ?(?:for|over|during|through|lasting|lasts?|runs?|valid|good|of|next) ?"
            r"(?:the |a |next |full |up to |whole |your |first )*$|(?:next|coming|following) ?$"
        ),
        offer_after=(
            r"^ ?(?:of |at |with |for |to )?(?:an? |the |your )?(?:\d+(?:\.\d+)? ?%|[a-z-]+ percent|discount|savings?"
            r"|lower|reduced|cheaper|[$€£])"
        ),
        opens=r"^ ?(?:[a-z'·]+, )?(?:(?:after|with|all)(?: all| these| those)? ?)?$",
        loose=(
            r"(?:the first|about|around|roughly|approximately|up to|as many as|at most|limited|at least|more than"
            r"|almost|nearly|minimum of|maximum of|another|within"
            r"|in|(?<=\S )(?<!ends )(?<!itself )(?<!own )(?<!stops )(?<!over )after|before|less than|every"
            r"|(?:for|lasts?|lasting) over)(?: the| your)?(?: next| first)? ?$"
        ),
        window=r"(?<!\w)(?:within|in|over|during)(?: the)?(?: next| coming)? ?$",
        past=r"(?<!\w)(?:over|more than|past|beyond) ?$",
        nearly=r"(?<!\w)(?:nearly|almost|just under|close to|(?:coming|going) (?:up )?on) ?$",
        article=r"(?:for|over|next|whole|full|in|within|another|first|than) ?$",
        extends_after=(
            r"^,? ?(?:(?:per|out of|each|every) |(?:and|or|plus) (?:beyond|longer|more|two|three|four"
            r"|counting|on(?:wards?)?|then some"
            r"|after(?: that)?(?!,? (?:back|your|the|it|you|we|that|things))|up)|\+"
            r"|at least|minimum|or so|if"
            r" (?:you (?!reply|say|text|tap|accept|like|want|wish|agree|answer|click|press|choose|would|'d|fancy|feel"
            r"|care|(?:come back|return|rejoin)(?= ?(?:[.,!]|$)))|not))"
        ),
        beside=(
            r"^(?! off (?:with|as) an? (?:one-time|single) )"
            r"(?: (?:in|of|on|for|to|towards?|off|account|bill|statement|credit|your|next|monthly|the|a|·+)(?![\w']))*"
            r",?"
            r" (?:and|plus|with|along with|as well as|together with|[+&]) (?!·|(?:reply|text|tap|say|just|we|we'll|we'd"
            r"|it|it's|it'll|that|that's|this|the (?:discount|rest|regular|usual|price|credit)|your|you|you'll|thanks?"
            r"|thank|back|after|then|nothing|no|not|all|our|one (?:tap|click|word)|an? (?:big|small|sincere|smile|tap"
            r"|click|quick|single|simple|warm|heartfelt|thank|yes|reply|word)|love|gratitude|warm|us|if|see|enjoy"
            r"|accept|start|begin|click|visit|call|stay|keep|ask|let|hope|so|of course|only|i|please|consider|feel|yes"
            r"|much|many|best wishes|apologies|regards|the button|yes|welcome|happy|glad|everything)(?!\w))"
        ),
        joined=(
            r"^(?: (?:for you|from (?:us|·+)|is yours|are yours))*,?"
            r" (?:and|or|plus|along with|as well as|together with|[+&])"
            r" (?:(?:an?|free|complimentary|extra|some|two|three|another|\d+)"
            r" (?!(?:big|small|sincere|smile|tap|click|quick|single|simple|warm|heartfelt|thank|yes|reply|word|lot"
            r"|chance|moment)(?!\w))[a-z]"
            r"|(?!it|that|this|what|which|there|here|everything|all|shipping|delivery)[a-z]+"
            r" (?:are|is|too|as well|on us|for free|both)(?!\w))"
        ),
        next=(
            r"(?<!\w)(?:(?:next|first|this|current|upcoming|coming|following|second) (?:months?|bills?|payment|invoice"
            r"|statement|billing (?:cycle|period))"
            r"|(?<!past )(?<!last )(?<!recent )(?<!these )(?:months|weeks|years|days))(?!\w)"
        ),
        bound=r"(?:off|%|for|over|discount)(?: [a-z'·]+){0,3} ?$",
        deadline=(
            r"(?<!\w)(?:by|until|till?|through|thru|before|ends?|ending|expires?|expiring|valid|good|only|within"
            r"|last|starts|starting|begin\w*|from|closes?|closing|gone|due|no later than)"
            r"(?: on| at| the| this| next| in| of| end| day)*"
            r" [\w':.]+(?: [\w']+)?$|(?<!\w)(?:only|last) [\w ]+$|end of [\w ]+$|(?:eom|eod)$"
            r"|(?<!\w)(?:sorry|apolog)[^.!?]*$"
        ),
        binds=(
            r"(?<!\w)(?:(?:lock|tie|bind|commit|sign|renew|extend|prolong|roll|re-?enrol|continu)\w*"
            r"|tied|bound|runs? on)"
            r"(?: (?!not |never |no )[a-z'·]+){0,6} (?:for|to|by|until|into)"
            r" (?:(?:an?|another|a further|at least|the next|a minimum of|one more) ?)*$"
            r"|(?<!\w)(?:membership|contract|subscription|plan|policy|cover|agreement|commitment|term)s?"
            r"(?: [a-z']+){0,4} (?:for )?(?:another|a further|an additional|one more) ?$"
        ),
        taken=(
            r"(?<!\w)(?:accept|reply|answer|respond|decide|act|claim|redeem|take|activate"
            r"|(?:use|spend|apply) it|offer|deal|discount|saving|yours|yes|lasts?|runs?)(?!\w)"
        ),
        had=(
            r"(?<!\w)(?:bills?|prices?|balance|pay(?:s|ing)?|paid|costs?|charges?|only|just|gets?|more|extra|free"
            r"|for you|yours|left|per|each|drops?|waits?|waiting|gifts?|pass(?:es)?|tickets?|points|[gt]b|mbps|megs?"
            r"|off)(?!\w)"
        ),
        owned=r"(?<!\w)(?:your|off|on)(?: (?:your|[a-z]+|·+)){0,2} $",
        starts=r"(?:starts?|starting|begins?|beginning|from|after|since)(?: on)? ?$",
        takes=(
            r"(?<!\w)(?:takes?|took)(?: you| me| us)?"
            r"(?: only| just| about| less than| under| no more than| all of)*(?: the)? ?$"
        ),
        harmless=(
            r"(?<!\w)(?:24/7|24 ?x ?7|24 hours a day|7 days a week|[345]g|wi-?fi [4-7]|a period of"
            r"|monday (?:to|through|-) (?:friday|saturday|sunday)|(?:have|enjoy|hope)[a-z' ]{1,20} (?:week|weekend)"
            r"|(?:how|going|are you|is everything)[a-z' ]{1,30} this (?:week|weekend)|[48]k|3d"
            r"|(?:many |several |more )+years (?:to come|ahead|together)"
            r"|(?<=past )(?:few|couple of) (?:days|weeks|months)|\w+ (?:days|nights) a week|\w+ hours a day"
            rf"|(?:{_DAY})'s (?:{_HAPPENED})"
            r"|this (?:week|month|season|year)'s"
            r" (?!offer|deal|discount|price|sale|special|saving|credit|bill|last|best|top)[a-z]+"
            rf"|last (?:{_DAY})(?:'s)?"
            rf"|(?:promised|said|told|agreed)[^.!?]{{0,30}} by (?:{_DAY})(?=[^.!?]{{0,20}} (?:didn't|never|failed))"
            rf"|(?:didn't|did not|never|failed to|missed)(?: [a-z]+){{0,3}} on (?:{_DAY})(?= ?[.,!;\n]| and)"
            r"|(?:[a-z]+|\d+) (?:days|weeks|months)'? notice|(?:used?|reached|hit) \d+ ?%(?= of your)"
            r"|(?:session|class|course|event|membership|pass|contract|policy|cover)(?: now)? (?:runs|lasts)"
            r" (?:until|till|to) [\w:]+(?: [ap]m| [a-z]{3,9})?(?= ?[.,;!]| and)"
            r"|\d+ ?% (?:full|charged|complete|done|used)|(?:battery|storage|goal|disk) (?:is|at|is at) \d+ ?%"
            r"|(?:battery|signal|download|upload|reading|tank|gauge|memory|disk)[^.!?%]{0,25}"
            r" (?:at|to|past|below|above|hit|reached) \d+ ?%"
            rf"|(?:an?|\d+|{'|'.join(_ONES[:12])}) (?:minute|hour|day|week|month)s?"
            r" (?:(?:later|earlier|sooner) than|late(?!r)|early)"
            r"|(?:version|release|patch|build|update|season|series|episode|part|chapter"
            r"|volume|step|level|round|stage|lesson|tip|question) \d+(?:\.\d+)*"
            r"|(?:reply|text|send|press) \d+(?= (?:and|to)(?!\w))"
            r"|(?:reply|press|text|send) \d (?:for|if)[^.!?\n\d%$]{0,25}(?:,? (?:or |and )?\d (?:for|if))*"
            r"|\d{1,2} (?:(?:new|quick|easy|simple|short|great|top) )*(?:tips|ways|questions|steps|recipes"
            r"|classes|stations|films|shows|episodes|stories|ideas|fixes|reasons|things|articles|exercises|features|guides|songs))(?!\w)"
            r"|(?:rat(?:e|ing)|scor(?:e|ing)|number|scale|stars)[^.!?%$\d\n]{0,30}\d{1,2}(?: ?\([a-z ]+\))?"
            r"(?: to |-| and )\d{1,2}(?!\d)|(?<![^\n])\d{1,2}[.)](?=\s)"
        ),
    ),
)
