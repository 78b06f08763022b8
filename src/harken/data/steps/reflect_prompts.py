"""What the step *reflect* asks of its teacher, and how it opens the answer.

A reflection has two parts, in the words of EmpathyEval's dimensions: what is felt and needed (emotion
understanding, need support), and how the reply goes so far (wording, emotional support) and what it lacks.
The teacher goes on with each from an opening, so that a small one keeps to the form and is brief; how
a reply goes that was written to be good, or made to be weak, is known, and stands in the opening.
"""

from __future__ import annotations

from collections.abc import Sequence

from harken.data.rows import Turn
from harken.data.steps.prompts import Prompt
from harken.data.steps.weak_replies import Kind
from harken.llm.templates import Message, render

REFLECT = {
    "en": Prompt(
        "reflect-en",
        """\
You watch a friend answer somebody. Note in a few plain words what the person needs, then how the friend's \
answer goes so far and what it should do next.
---
They: He read my diary out loud at dinner.
Friend, so far: Your own diary, in front of everybody?
---
Anger, needs somebody on their side. So far warm, takes their side; ask what they did.
---
They: We buried my grandpa on Monday.
Friend, so far: I am sorry to hear that.
---
Sadness, needs to talk about their grandpa. So far it fits anyone; name the funeral on Monday.
---
They: Guess what, the bakery wants me to start on Monday!
Friend, so far: So you got the job
---
Joy, needs somebody to be glad with them. So far warm, shares the joy; name the bakery.
---
They: There is someone walking about upstairs, and I live alone.
Friend, so far: It is only the wind.
---
Fear, needs to feel safe right now. So far cold; name the steps upstairs.
---
They: The lift is broken again, and I live on the ninth floor.
Friend, so far: Nine floors, on foot, with
---
Anger, needs somebody to see the effort. So far warm, names nine floors; ask about the lift.
---
They: I have not slept, and the exam is tomorrow.
Friend, so far: My sister has a new bicycle.
---
Fear, needs calm before the exam. So far off the point; name the exam tomorrow.""",
    )
}
PROMPTS = {prompt.name: prompt for prompt in REFLECT.values()}

_FELT = {
    "en": {
        "anger": "Anger",
        "disgust": "Disgust",
        "fear": "Fear",
        "happy": "Joy",
        "neutral": "Calm",
        "sad": "Sadness",
        "surprise": "Surprise",
    }
}
_OPENINGS: dict[Kind | None, str] = {
    None: "So far warm,",
    "generic": "So far it fits anyone; name",
    "cold": "So far cold; name",
    "off the point": "So far off the point; name",
}
STOPS = (".", "\n")
"""What ends either part; it is not part of it."""


def need_opening(emotion: str | None, lang: str) -> str:
    """What the first part begins with: the feeling, and that there is a need."""
    felt = _FELT[lang].get(emotion or "")
    return f"{felt}, needs" if felt else "Needs"


def reply_opening(need: str, weakness: Kind | None) -> str:
    """What the second part begins with, behind the first. Args: weakness: of the reply, where it has one."""
    return f"{need} {_OPENINGS[weakness]}"


def prompt(template: str, turns: Sequence[Turn], so_far: str, opening: str, lang: str) -> str:
    """The prompt, with the teacher's answer opened."""
    lines = [f"{'They' if turn.role == 'user' else 'Friend'}: {turn.text}" for turn in turns]
    asked = "\n".join([*lines, f"Friend, so far: {so_far or '…'}"])
    return render(template, [*REFLECT[lang].messages(True), Message("user", asked)]) + opening


def shown(lang: str) -> str:
    """What the people of the examples say."""
    asked = [m.content for m in REFLECT[lang].messages(True) if m.role == "user"]
    return " ".join(lines.split("\n")[0].removeprefix("They: ") for lines in asked)
