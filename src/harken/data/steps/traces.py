"""What a think block says of the speaker: does it keep to the injected emotion, does it name a cause, and
does that cause lie in what was said?

All by rules on words, in English and in Chinese, so that the same block is judged the same anywhere; the
words that name emotions are those of `paralinguistic_words`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from harken.data.rows import Cause, Row, Turn
from harken.data.steps.injections import QUOTES
from harken.data.steps.paralinguistic_words import EMOTION_WORDS
from harken.data.steps.replies import longest_run, words

_QUOTED = re.compile(r"\"[^\"]*\"?|“[^”]*”?|「[^」]*」?")
_CLAUSE = re.compile(
    r"[.;!?,:。；！？，：、\n]+|\b(?:because|but|so that|although|while)\b|因为|但是?|所以|不过"
)
_SPEAKER = {
    "en": r"\b(?:they|the (?:speaker|user|person)|he|she)\b",
    "zh": r"(?:对方|说话的?人|说话者|用户|他们?|她们?)",
}
_STATES = {
    "en": r"(?:'re|'s|\b(?:are|is|am|was|were|feel|feels|felt|feeling|sound|sounds|seem|seems)\b)",
    "zh": r"(?:感到|觉得|感觉|显得|听起来|听上去|心里|心情|很|是|非常|有点|十分)",
}
_NEGATION = {
    "en": re.compile(r"\b(?:not|no|never|without|hardly|rather than|instead of)\b|n't\b"),
    "zh": re.compile(r"不|没|并非|毫无"),
}
_LEAKS = re.compile(
    r"think\s*>|\bthe (?:speaker|user)(?:'s)?\b|\b(?:emotion|emotional state|feeling) (?:is|was)\b"
    r"|\bthey (?:feel|sound) (?:this way|\w+ because)|\bi can hear that they\b"
    r"|说话的?人|说话者|用户|(?:情绪|情感|感情|心情)(?:是|为|：)|听起来对方|对方(?:听起来|听上去|的情绪|感到)"
)
_FUNCTION_WORDS = frozenset(
    """
    a an the and or but so if then than that this these those there here it its it's i i'm i've i'd i'll me my
    we us our you your you're he him his she her they them their they're they've is are am was were be been
    being do does did don't doesn't didn't have has had having will would can could should may might must not
    no to of in on at by for from with about into over out up down as just very really too also all any some
    what who how why when where which because feel feels feeling felt way said say says saying tell telling
    told thing things want wants get got one reason sounds sound speaker person
    """.split()  # noqa: SIM905
)
_FUNCTION_CHARACTERS = frozenset(
    "的了是在我你您他她它们就都也很着过吗呢吧啊呀这那一个不没有和与把被给让"
    "对为因所以而且但还又只想要说会能到方"
)
_THEY = {
    "they": "they i we you he she them me us him",
    "their": "their my our your his her mine yours",
    "be": "am is are was were be been",
    "they be": "i'm you're we're they're he's she's",
    "they have": "i've you've we've they've",
    "have": "has had",
    "they will": "i'll you'll we'll they'll",
    "they would": "i'd you'd we'd they'd",
    "他": "我 你 您 她",
}
_PERSONS = {word: plain.split() for plain, forms in _THEY.items() for word in forms.split()}


def contradicts(continuation: str, emotion: str, lang: str) -> bool:
    """Does a think block say that the speaker feels something else?

    A clause counts where the speaker is its subject, a verb of state stands between the speaker and a word
    that names emotions, nothing before that word negates it, and no such word of the clause names `emotion`.
    What is quoted is not read: those are the speaker's words.
    """
    for clause in _CLAUSE.split(_QUOTED.sub(" ", continuation.lower().replace("’", "'"))):
        subject = re.search(_SPEAKER[lang], clause)
        verb = re.search(_STATES[lang], clause[subject.end() :]) if subject else None
        if not subject or not verb:
            continue
        rest = clause[subject.end() + verb.start() :]
        named: set[str] = set()
        for label, pattern in _emotion_patterns(lang).items():
            for word in pattern.finditer(rest):
                if not _NEGATION[lang].search(clause[: subject.end() + verb.start() + word.start()]):
                    named.add(label)
        if named and emotion not in named:
            return True
    return False


def emotions_in_order(text: str, lang: str) -> list[set[str]]:
    """The labels of each word that names emotions, in the order of the words; what is quoted is not read."""
    named: dict[int, set[str]] = {}
    text = _QUOTED.sub(lambda quote: " " * len(quote[0]), text.lower())
    for label, pattern in _emotion_patterns(lang).items():
        for word in pattern.finditer(text):
            named.setdefault(word.start(), set()).add(label)
    return [named[start] for start in sorted(named)]


def announces(reply: str) -> bool:
    """Does a reply speak as a think block does: its marks, "the speaker", or a bare label?"""
    return bool(_LEAKS.search(reply.lower().replace("’", "'")))


def leaks(reply: str, injection: str) -> bool:
    """Does a reply give away that its feeling was injected: as `announces`, or in the injection's words?"""
    opening = words(injection)
    return announces(reply) or longest_run(words(reply), opening)[2] >= min(5, len(opening))


def content_words(text: str, lang: str) -> list[str]:
    """Words that carry what is said, stemmed; of Chinese, pairs of neighbouring characters."""
    if lang == "zh":
        runs = re.findall(r"[㐀-鿿]+", text)
        return [
            run[i : i + 2]
            for run in runs
            for i in range(len(run) - 1)
            if not set(run[i : i + 2]) & _FUNCTION_CHARACTERS
        ]
    return [_stem(word) for word in words(text) if word not in _FUNCTION_WORDS]


def named_cause(trace: str, injection: str) -> str:
    """What a think block gives as the cause: the sentence that its injection begins, or the quotation."""
    rest = trace.removeprefix(injection).lstrip(" :：")
    if injection[-1:] in QUOTES:
        return re.split(rf"{QUOTES[injection[-1]]}|\n", rest, maxsplit=1)[0]
    return re.split(r"(?<=[.!?。！？])[\"”]?\s*|\n", rest, maxsplit=1)[0]


def names_a_cause(continuation: str, lang: str) -> bool:
    """Are there two content words in it, of the kind that a cause is told in?"""
    return len(set(content_words(continuation, lang))) >= 2


def speaks_as_the_speaker(cause: str, lang: str) -> bool:
    """Does a cause outside quotes say "I" for the speaker, who is somebody else than the one who thinks?"""
    outside = _QUOTED.sub(" ", cause)
    if lang == "zh":
        return "我" in outside
    return bool(re.search(r"\b(?:i|i'm|my|me|our|we)\b", outside.lower()))


def supported(row: Row) -> bool:
    """Does the cause that the row's think block goes on to name rest on what was annotated or said?

    The named cause is what ends the injection's sentence, or its quotation. Its content words are compared,
    stemmed (of Chinese: pairs of neighbouring characters), with those of the conversation. It is supported
    where it has

    - half of the content words of an annotated cause of the turn that is answered, or
    - two content words of the user's turns (or the only one there is), at least a third of its own.
    """
    return rests_on(row, named_cause(row.trace or "", row.injection or ""))


def rests_on(row: Row, cause: str) -> bool:
    """The rule of `supported`, for a cause in any words."""
    if tells(cause, row.last_user.cause, row.lang):
        return True
    named = set(content_words(cause, row.lang))
    said = {word for turn in row.turns if turn.role == "user" for word in content_words(turn.text, row.lang)}
    shared = len(said & named)
    return shared >= min(2, max(len(said), 1)) and 3 * shared >= len(named)


def tells(cause: str, annotated: Sequence[Cause], lang: str) -> bool:
    """Has a cause in any words half of the content words of an annotated one?"""
    named = set(content_words(cause, lang))
    spans = [set(content_words(one.span, lang)) for one in annotated]
    return any(span and 2 * len(span & named) >= len(span) for span in spans)


def borrowed(text: str, lang: str, own: str, shown: str) -> set[str]:
    """Content words of `text` that come from `shown`, what a teacher saw as examples, and not from `own`."""
    theirs = set(content_words(shown, lang)) - set(content_words(own, lang))
    return set(content_words(text, lang)) & theirs


def causes_in(turns: Sequence[Turn], cause: str, lang: str) -> tuple[Cause, ...]:
    """The user's words that a named cause repeats, person aside ("my desk" is "their desk").

    Of each turn the longest run with two content words or more; the turn that is answered comes first.
    """
    found = []
    for number, turn in reversed(list(enumerate(turns))):
        if turn.role != "user":
            continue
        said, where = _plain(turn.text)
        start, _, length = longest_run(said, _plain(cause)[0])
        if length:
            span = turn.text[where[start][0] : where[start + length - 1][1]]
            if len(set(content_words(span, lang))) >= 2:
                found.append(Cause(number, span))
    return tuple(found)


def _plain(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Words without person, and from where to where in the text each stands."""
    plain: list[str] = []
    where: list[tuple[int, int]] = []
    for match in re.finditer(r"[㐀-鿿]|[^\W㐀-鿿_]+(?:['’][^\W㐀-鿿_]+)*", text.replace("对方", "他 ")):
        for word in _PERSONS.get(match[0].lower().replace("’", "'"), words(match[0])):
            plain.append(word)
            where.append(match.span())
    return plain, where


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in ("ing", "ed", "es", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


@cache
def _emotion_patterns(lang: str) -> dict[str, re.Pattern[str]]:
    def one_of(all_words: str) -> str:
        joined = "|".join(map(re.escape, all_words.split()))
        return f"(?:{joined})" if lang == "zh" else rf"(?<![\w'])(?:{joined})(?!\w)"

    return {label: re.compile(one_of(found)) for label, found in EMOTION_WORDS[lang].items()}
