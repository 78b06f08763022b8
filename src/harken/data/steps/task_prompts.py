"""What the step *tasks* tells its teacher, in English and in Chinese; their form is `prompts`'.

Examples differ in feeling and in how they end: a small teacher says the last one again for whatever is like
it.
"""

from __future__ import annotations

from harken.data.steps.prompts import Prompt

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
1 (angry) My brother took the car without asking, again.
Friend: And you needed it tonight?
2 (afraid) He isn't answering, and the roads are pure ice.
---
<think>
At the end the speaker sounds afraid. It began with the car that was taken without asking, and then the \
roads were \
ice and nobody answered. Behind it lies that they love their brother more than the car.
</think>

You are afraid because your brother is out on icy roads and is not answering, though at first it was only \
about the car. \
Underneath the quarrel you simply want him home safe.
---
1 (happy) Grandma's letter came, four whole pages!
Friend: What does she write?
2 (sad) She asks three times when I am coming, and I can't this year.
---
<think>
At the end the speaker sounds sad. It began with the letter from grandma, and in it she asks when they are \
coming. \
Behind it lies that they miss her too and feel guilty for staying away.
</think>

You are sad because grandma asks again and again when you will visit, after her long letter had made you so \
glad. I think \
you miss her as much as she misses you.
---
1 (calm) I am painting the fence this weekend.
Friend: What colour?
2 (angry) The neighbour just poured his old oil over it!
---
<think>
At the end the speaker sounds angry. It began with the fence they were painting, and then the neighbour \
poured oil \
over it. Behind it lies that two days of work were spoiled as if they were nothing.
</think>

You are angry because the neighbour poured oil over the fence that you had been painting all weekend. It \
stings that your \
work counted for nothing in his eyes.
---
1 (sad) Nobody came to my stall all morning.
Friend: That sounds like a long wait.
2 (surprised) A whole school class just bought every last jar!
---
<think>
At the end the speaker sounds surprised. It began with a morning without customers, and then a class bought \
every \
jar. Behind it lies that they had already given up hope for the day.
</think>

You are surprised because a class bought every jar, just when the empty morning had made you give up. You \
had not dared \
to hope any more that somebody would like what you make.""",
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
1（生气）我弟又没问一声就把车开走了。
朋友：今晚你正好要用吧？
2（害怕）他不接电话，路上全结冰了。
---
<think>
最后对方听起来害怕。起因是弟弟没打招呼就开走了车，后来路面结冰、电话没人接。背后是比起车，对方更疼这个弟弟。
</think>

你害怕，是因为弟弟在结冰的路上，电话又打不通，一开始你气的只是那辆车。说到底，你就盼着他平平安安回家。
---
1（开心）奶奶来信了，整整四页！
朋友：都写了什么呀？
2（难过）她问了三遍我什么时候回去，可今年我回不去。
---
<think>
最后对方听起来难过。起因是奶奶的信，信里一再问什么时候回去。背后是对方也想奶奶，又因为回不去而内疚。
</think>

你难过，是因为奶奶一遍遍问你什么时候回去，而那封长信本来让你那么高兴。我想，你心里也一样牵挂着她。
---
1（平静）这个周末我在刷院子的栅栏。
朋友：刷什么颜色？
2（生气）邻居刚把旧机油泼在上面了！
---
<think>
最后对方听起来生气。起因是他们在刷栅栏，后来邻居把旧机油泼在上面。背后是两天的功夫就这么白费了。
</think>

你生气，是因为邻居把旧机油泼在你刷了一个周末的栅栏上。最气人的是，你花的功夫在他眼里什么都不算。
---
1（难过）一上午没有一个人来我的摊子。
朋友：等得很漫长吧。
2（惊讶）刚才一个班的学生把罐子全买光了！
---
<think>
最后对方听起来惊讶。起因是一上午没有客人，后来一个班的学生把罐子买光了。背后是对方今天早就不抱希望了。
</think>

你惊讶，是因为冷清了一上午，忽然一个班的学生把罐子全买走了。你原本已经不敢指望有人会喜欢你做的东西。""",
    ),
}

ASKED = {
    ("trajectory", "en"): (
        "How did my emotions change over this conversation, and what caused each change?",
        "Tell me how my mood moved from one turn to the next.",
        "Please describe the course of my feelings from the beginning to the end.",
        "Where did my emotion shift, and what made it shift?",
        "Can you walk me through the ups and downs in how I felt?",
        "I'd like to know which emotions I went through, in order.",
    ),
    ("trajectory", "zh"): (
        "在这段对话里，我的心情是怎样变化的？每次变化是因为什么？",
        "请说说我的情绪从头到尾是怎么变的。",
        "我的心情在哪一句话之后发生了转变？",
        "帮我梳理一下这段对话里我情绪的起伏。",
        "能不能按顺序讲讲我经历了哪些情绪变化？",
        "听完之后，请描述我的感受怎样一步步变化。",
    ),
    ("reasoning", "en"): (
        "Why do I feel the way I do now, and what lies behind it?",
        "Tell me what really caused me to feel this way.",
        "Can you explain the deeper reason for my mood?",
        "Please work out why my last words sounded so emotional.",
        "What happened before that made me feel like this?",
        "I'd like you to say what is behind my emotions here.",
    ),
    ("reasoning", "zh"): (
        "我现在为什么会有这样的心情？背后的原因是什么？",
        "请分析一下我为什么会有这种情绪。",
        "是什么让我现在的心情变成这样？",
        "帮我找找我这种感受背后的原因。",
        "能说说我的情绪是由什么事情引起的吗？",
        "我没有说出口的心情，到底是因为什么？",
    ),
}
"""How people ask it of themselves: a row draws one of them, and the instruct step goes on from them."""

PROMPTS = {p.name: p for kind in (TRAJECTORY, REASONING) for p in kind.values()}
"""Every prompt here, by name."""
