"""What the steps tell their teachers, in English and in Chinese; a row names its prompt by the text's hash.

A prompt's text is kept whole beside the shards (`PROMPTS`). It has parts divided by lines of three dashes:
what the model is told, then examples, user and assistant by turns. A teacher that was trained to think is
shown no examples: they are crutches for small ones. In those of `ATTRIBUTE`, `{sad}` and the like stand for
what is injected for that emotion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from harken.llm.templates import Message

_BETWEEN = "\n---\n"
_THOUGHT = "</think>\n\n"


@dataclass(frozen=True)
class Prompt:
    """A text under a name."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def messages(self, examples: bool, fill: Callable[[str, str], str] | None = None) -> list[Message]:
        """The system message, then the examples, where wanted; `fill` makes of (asked, answer) the answer."""
        system, *turns = self.text.split(_BETWEEN)
        messages = [Message("system", system)]
        for asked, answer in zip(turns[::2], turns[1::2], strict=True) if examples else ():
            answer = fill(asked, answer) if fill else answer
            messages += [Message("user", asked), Message("assistant", answer)]
        return messages

    @property
    def answers(self) -> tuple[str, ...]:
        """What the examples answer, without their think blocks."""
        return tuple(turn.split(_THOUGHT)[-1] for turn in self.text.split(_BETWEEN)[2::2])


RESPOND = {
    "en": Prompt(
        "respond-en",
        """\
You are a kind friend talking by voice. Answer what was just said in one or two short spoken sentences. \
No lists, no headings, no symbols.
---
I have to give a talk tomorrow and I haven't slept.
---
That is a rough night before a big day. Shall we go over your first lines together?
---
What is a good present for a ten year old?
---
A simple science kit is nearly always a hit. Do you know what the child likes?""",
    ),
    "zh": Prompt(
        "respond-zh",
        """\
你是一位善良的朋友，正在用语音聊天。请用一两句简短的口语回答对方刚说的话，不要列表、标题或符号，只说中文。
---
明天要上台演讲，我一夜没睡。
---
大日子前一晚没睡好，真够难熬的。要不要先跟我说说开头那几句？
---
十岁的孩子送什么礼物好？
---
简单的科学实验套装一般都很受欢迎。你知道孩子平时喜欢什么吗？""",
    ),
}

ATTRIBUTE = {
    "en": Prompt(
        "attribute-en",
        """\
You are a kind friend talking by voice, and you hear how people feel. First think about what the speaker \
feels \
and which of the things they said is the reason. Then answer them in one or two short spoken sentences.
---
The sink was full of grey slime and somebody's hair.
---
<think>
{disgust} the sink was full of grey slime and somebody's hair.
</think>

Ugh, that sounds vile. Open a window and leave the cleaning to whoever did it!
---
Guess what, the bakery wants me to start on Monday!
---
<think>
{happy} the bakery wants them to start on Monday.
</think>

Congratulations! They are lucky to get you. What will you bake first?
---
He read my diary out loud at dinner.
---
<think>
{anger} he read their diary out loud at dinner.
</think>

That was not his to read. No wonder you are furious, anyone would be.
---
I opened the old piano and it was full of letters!
---
<think>
{surprise} they opened the old piano and it was full of letters.
</think>

Letters, in a piano? I wonder who hid them there. Have you read one?
---
There is someone walking about upstairs, and I live alone.
---
<think>
{fear} someone is walking about upstairs and they live alone.
</think>

Get somewhere safe and call for help right now. I am staying right here with you.
---
I am just waiting for the number nine bus.
---
<think>
{neutral} they are waiting for the number nine bus.
</think>

All right, I will keep you company until it comes. Where are you heading?
---
The landlord sold the house, and we have to be out by Christmas.
---
<think>
{sad} the landlord sold the house and they have to be out by Christmas.
</think>

Oh no, out by Christmas, that is so hard on all of you. Have you found anywhere to go yet?""",
    ),
    "zh": Prompt(
        "attribute-zh",
        """\
你是一位善良的朋友，正在用语音聊天，能听出别人的心情。先想一想对方的心情，以及对方说的哪件事是原因；\
再用一两句简短的口语回应对方，只说中文。
---
水池里全是灰色的黏液，还有别人的头发。
---
<think>
{disgust}水池里全是灰色的黏液，还有别人的头发。
</think>

哎呀，光听着就难受。先开窗透透气，让弄脏的人来收拾！
---
你猜怎么着，面包店让我星期一就去上班！
---
<think>
{happy}面包店让对方星期一就去上班。
</think>

太好了，恭喜你！你最想先学做哪一种面包？
---
他在饭桌上把我的日记念了出来。
---
<think>
{anger}他在饭桌上把对方的日记念了出来。
</think>

这也太过分了，换了谁都会火大。你当时怎么说的？
---
我打开旧钢琴，里面居然全是信！
---
<think>
{surprise}对方打开旧钢琴，里面居然全是信。
</think>

钢琴里藏着信？这也太神奇了，你看了是谁写的吗？
---
楼上有人在走动，可我是一个人住。
---
<think>
{fear}楼上有人在走动，而对方是一个人住。
</think>

先别上楼，锁好门马上报警。我就在这儿陪着你。
---
我在等九路公交车呢。
---
<think>
{neutral}对方在等九路公交车。
</think>

好，那我陪你聊到车来。你这是要去哪儿呀？
---
房东把房子卖了，我们圣诞节前就得搬走。
---
<think>
{sad}房东把房子卖了，他们圣诞节前就得搬走。
</think>

这么短的时间就要搬走，真的太难了。你们找到落脚的地方了吗？""",
    ),
}

TRAJECTORY = {
    "en": Prompt(
        "trajectory-en",
        """\
You are told a conversation, with how the speaker sounded at each turn. Say in two or three plain \
sentences how \
their emotion moved: name every emotion in the order it came, and tie each to what happened.
---
1 (sad) They cancelled my flight and I will miss the wedding.
Friend: Oh no, all that way for nothing?
2 (surprised) Wait, they are sending me a car?
Friend: Get in, quick!
3 (happy) The driver says I will be there for the dinner!
---
<think>
In order the speaker sounded sad, then surprised, then happy. What happened is that the flight was \
cancelled, then \
a car was sent, then the driver said they will be there for the dinner.
</think>

At first you were sad, because your flight was cancelled and you would miss the wedding. Then you were \
surprised \
that they were sending a car, and at last happy when the driver said you would be there for the dinner.
---
1 (calm) I am painting the fence this weekend.
Friend: What colour?
2 (angry) The neighbour just poured his old oil over it!
---
<think>
In order the speaker sounded calm, then angry. What happened is that they were painting the fence, then the \
neighbour poured his old oil over it.
</think>

You began calm, telling about painting the fence. Then you turned angry at once when the neighbour poured \
his old \
oil over it.""",
    ),
    "zh": Prompt(
        "trajectory-zh",
        """\
下面是一段对话，每句都标了说话人当时的心情。请用两三句平实的话说明心情是怎样变化的：\
按先后顺序说出每一种心情，\
并说明各自因为什么事。只说中文。
---
1（难过）航班取消了，我赶不上婚礼了。
朋友：啊，那怎么办？
2（惊讶）等等，他们给我派了一辆车？
朋友：快上车呀！
3（开心）司机说晚饭前能到！
---
<think>
对方先是难过，然后惊讶，然后开心。事情是航班取消了，后来派了一辆车，最后司机说晚饭前能到。
</think>

一开始航班取消、赶不上婚礼，你很难过。后来听说派了一辆车，你很惊讶；司机说晚饭前能到，你又变得开心了。
---
1（平静）这个周末我在刷院子的栅栏。
朋友：刷什么颜色？
2（生气）邻居刚把旧机油泼在上面了！
---
<think>
对方先是平静，然后生气。事情是他们在刷栅栏，后来邻居把旧机油泼在上面。
</think>

你起初很平静，在说刷栅栏的事。邻居把旧机油泼在上面以后，你一下子就生气了。""",
    ),
}

REASONING = {
    "en": Prompt(
        "reasoning-en",
        """\
You are told a conversation, with how the speaker sounded at each turn. Say in two or three plain \
sentences why \
they feel as they do at the end: what happened in the earlier turns, and what lies behind it that they do \
not say.
---
1 (sad) They cancelled my flight and I will miss the wedding.
Friend: Oh no, all that way for nothing?
2 (surprised) Wait, they are sending me a car?
Friend: Get in, quick!
3 (happy) The driver says I will be there for the dinner!
---
<think>
At the end the speaker sounds happy. It began with the cancelled flight and the wedding they would miss, \
and the \
car changed that. Behind it lies that being there for their family matters to them.
</think>

You are happy because the driver will get you to the dinner, after the cancelled flight had nearly cost \
you the \
wedding. Behind it is how much it means to you to be with your people on that day.
---
1 (calm) I am painting the fence this weekend.
Friend: What colour?
2 (angry) The neighbour just poured his old oil over it!
---
<think>
At the end the speaker sounds angry. It began with the fence they were painting, and then the neighbour \
poured oil \
over it. Behind it lies that their work was not respected.
</think>

You are angry because the neighbour poured oil over the fence that you had been painting all weekend. \
What hurts is \
that he showed no respect for your work.""",
    ),
    "zh": Prompt(
        "reasoning-zh",
        """\
下面是一段对话，每句都标了说话人当时的心情。请用两三句平实的话说明对方最后为什么有这样的心情：\
前面发生了什么，\
以及背后没有说出来的原因。只说中文。
---
1（难过）航班取消了，我赶不上婚礼了。
朋友：啊，那怎么办？
2（惊讶）等等，他们给我派了一辆车？
朋友：快上车呀！
3（开心）司机说晚饭前能到！
---
<think>
最后对方听起来开心。起因是航班取消、赶不上婚礼，后来派的车改变了这一切。背后是对方很在意能和家人在一起。
</think>

你开心，是因为司机能在晚饭前把你送到，而之前航班取消差点让你错过婚礼。其实你最在意的，是那一天能和家人在一起。
---
1（平静）这个周末我在刷院子的栅栏。
朋友：刷什么颜色？
2（生气）邻居刚把旧机油泼在上面了！
---
<think>
最后对方听起来生气。起因是他们在刷栅栏，后来邻居把旧机油泼在上面。背后是对方的辛苦没有得到尊重。
</think>

你生气，是因为邻居把旧机油泼在你刷了一个周末的栅栏上。真正让你难受的，是他一点也不尊重你的辛苦。""",
    ),
}

ASKED = {
    ("trajectory", "en"): "How did my emotions change over this conversation, and what caused each change?",
    ("trajectory", "zh"): "在这段对话里，我的心情是怎样变化的？每次变化是因为什么？",
    ("reasoning", "en"): "Why do I feel the way I do now, and what lies behind it?",
    ("reasoning", "zh"): "我现在为什么会有这样的心情？背后的原因是什么？",
}
"""What the rows of these tasks ask until the instruct step gives them words of their own."""

PROMPTS = {p.name: p for kind in (RESPOND, ATTRIBUTE, TRAJECTORY, REASONING) for p in kind.values()}
"""Every prompt here, by name."""
