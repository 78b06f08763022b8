"""Paralinguistic rows (contextual paralinguistic data creation): what is said, how, and by whom.

*Implicit path*: a teacher reads the transcript with the affect labels and, where known, valence, arousal and
dominance, and writes questions whose answers need the voice; questions made by rule stand beside them. What
the words alone answer, what names its own answer and what was not heard is dropped. *Explicit path*: some
questions come a second time with time-stamped labels in the prompt, so that training and inference with and
without them can be compared. Reading and judging drafts is `paralinguistic_filters`, questions by rule are
`paralinguistic_templates`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import Field

from harken.data.rows import Instruction, Question, Row, Teacher, content_id, derive
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.steps.paralinguistic_clip import Clip, richest, stamps, with_metadata
from harken.data.steps.paralinguistic_filters import UNREADABLE, Draft, answered_by_words, fault, read_drafts
from harken.data.steps.paralinguistic_templates import GENDER, questions_of
from harken.data.steps.prompts import Prompt
from harken.data.steps.teaching import LLM_ERROR, complete, teacher
from harken.data.workspace import Workspace
from harken.llm.base import LLM, Completion, LLMError, Sampling
from harken.llm.templates import Message, render

ASK = {
    "en": Prompt(
        "paralinguistic-en",
        """\
You are given a recording, as words and as what was measured of the voice. Write as many questions with \
answers as are asked for, about the last thing the speaker says. One JSON object a line, with these fields:
type: C what is said; E how the speaker feels; CE both; G the speaker's gender; CG what is said and the \
gender. G and CG only where the gender is given.
level: simple asks for one thing; complex needs reasoning over words and voice together. Mix both.
evidence: words copied exactly from the recording.
Let the valence, arousal and dominance of the voice shape questions and answers, not only the label. Never \
name the feeling or the gender in a question. Where the type has an E, the answer names how the speaker \
sounds and must not be clear from the words alone.
---
Speaker: They close the shop on Friday.
Emotion: [0.0-2.1 s: sad, 0.84]
Valence -0.6, arousal -0.4, dominance -0.3 (each from -1 to 1)
Speaker: a man
Questions: 3
---
{"question": "What is going to happen, and when?", "answer": "The shop closes on Friday.", "type": "C", \
"level": "simple", "evidence": ["close the shop on Friday"]}
{"question": "What tells you how serious this is to the speaker?", "answer": "The voice is sad, low and slow \
while saying that the shop closes.", "type": "CE", "level": "complex", "evidence": ["close the shop"]}
{"question": "Whom do you hear?", "answer": "A man.", "type": "G", "level": "simple", "evidence": []}""",
    ),
    "zh": Prompt(
        "paralinguistic-zh",
        """\
给你一段录音：说的话，以及对声音的测量。请就说话人最后说的话，按要求的数量写出问题和答案，全部用中文。每行一个JSON对象，字段如下：
type：C 说了什么；E 说话人的感受；CE 两者都有；G 说话人的性别；CG 说了什么和性别。给出了性别时才能用G和CG。
level：simple只问一件事；complex需要把话和声音合起来推理。两种都要有。
evidence：逐字摘自录音中的话。
除了情绪标签，也要用声音的效价、唤醒度和支配度来设计问题和答案。问题里不要出现情绪或性别。类型含E时，答案要说出说话人听起来怎样，\
而且只看文字不能知道。
---
说话人: 这家店星期五就关门了。
情绪：[0.0-2.1 s: sad, 0.84]
效价-0.6，唤醒度-0.4，支配度-0.3（-1到1）
说话人：男性
问题数：3
---
{"question": "什么时候会发生什么事？", "answer": "这家店星期五关门。", "type": "C", "level": "simple", \
"evidence": ["星期五就关门了"]}
{"question": "从哪里听得出这件事对说话人很重要？", "answer": "说到店要关门时，声音难过、低沉而缓慢。", \
"type": "CE", "level": "complex", "evidence": ["关门了"]}
{"question": "你听到的是谁？", "answer": "一位男性。", "type": "G", "level": "simple", "evidence": []}""",
    ),
}
"""What the teacher is asked, by language: a clip as `_shown` writes it comes after."""
BLIND = {
    "en": Prompt(
        "paralinguistic-blind-en",
        "You are given the words of a recording, and nothing of how they sound. Answer the question in one "
        "sentence, or say UNKNOWN if the words do not tell.",
    ),
    "zh": Prompt(
        "paralinguistic-blind-zh",
        "给你一段录音的文字，但没有声音。请用一句话回答问题；如果文字里没有答案，就回答“不知道”。",
    ),
}
"""What it is asked to see whether the words alone answer a question."""
PROMPTS = {prompt.name: prompt for prompt in (*ASK.values(), *BLIND.values())}
"""As in `harken.data.steps.prompts`: kept beside the shards; rows name them by hash."""
OPENING = '{"question": "'
"""How every answer to `ASK` begins: a teacher that is in the middle of JSON stays in it."""

_SOUND = {
    "en": {
        "emotion": "Emotion: {}",
        "vad": "Valence {:.1f}, arousal {:.1f}, dominance {:.1f} (each from -1 to 1)",
        "timed": "Words with seconds: {}",
        "gender": "Speaker: {}",
        "count": "Questions: {}",
    },
    "zh": {
        "emotion": "情绪：{}",
        "vad": "效价{:.1f}，唤醒度{:.1f}，支配度{:.1f}（-1到1）",
        "timed": "每个词的时间（秒）：{}",
        "gender": "说话人：{}",
        "count": "问题数：{}",
    },
}
_BLIND_TOKENS = 48
_NOTHING = Draft("", "", "C", "simple")


class Paralinguistic(StepConfig):
    """Rows of task `source` whose affect is known -> the same rows, and paralinguistic ones after them.

    The teacher writes one completion a clip, and with `blind_check` a short one for each question that a
    teacher wrote and no other filter dropped. Without `llm_questions` no teacher is opened.
    """

    step: Literal["paralinguistic"] = "paralinguistic"
    llm: str = "teacher"
    llm_questions: int = Field(default=4, ge=0)
    """Asked of the teacher for a clip; 0 leaves the implicit path to the templates."""
    templates: bool = True
    """Questions by rule too: E, and CE, G, CG where cause, gender are known; rows without a teacher."""
    clip_share: float = Field(default=0.5, ge=0, le=1)
    """Of a shard's rows with an affect, the share that is asked about: rich in emotion first."""
    llm_share: float = Field(default=1.0, ge=0, le=1)
    """Of these clips, the share that the teacher writes about, the richest; templates serve all."""
    explicit_share: float = Field(default=0.5, ge=0, le=1)
    """Of the questions, the share that comes with metadata as well; in dev all do, for the ablation."""
    min_emotion_confidence: float = Field(default=0.6, ge=0, le=1)
    """A model's label below this is not believed; what annotators say always is."""
    blind_check: bool = True
    question_tokens: int = Field(default=90, ge=1)
    """For each question asked for: small teachers write on until they are cut off."""
    temperature: float = 0.7
    top_p: float = 0.9

    def open(self, resources: Resources) -> Step:
        llm = resources.llm(self.llm) if self.llm_questions else None
        return _Paralinguistic(self, llm, resources.seed)


@dataclass
class _Asked:
    """A clip, and what came of it so far."""

    clip: Clip
    kept: list[Draft] = field(default_factory=list)
    by_rule: int = 0  # that many of `kept` have no teacher
    faults: list[tuple[Draft, str, str]] = field(default_factory=list)  # draft, reason, detail


class _Paralinguistic:
    def __init__(self, config: Paralinguistic, llm: LLM | None, seed: int) -> None:
        self.config, self.llm, self.seed = config, llm, seed
        most = config.question_tokens * config.llm_questions
        self.sampling = Sampling(most, config.temperature, config.top_p, seed=seed)

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        yield from rows
        sources = [row for row in rows if row.task == "source"]
        clips = richest(sources, self.config.clip_share, self.config.min_emotion_confidence)
        asked = [_Asked(clip) for clip in clips]
        for one in asked if self.config.templates else ():
            one.kept += questions_of(one.clip, self._dice_seed(one.clip.row))
            one.by_rule = len(one.kept)
        if self.llm is not None and asked:
            written = asked[: round(self.config.llm_share * len(asked))]
            self._ask(written, self.llm)
            if self.config.blind_check:
                self._ask_blind(written, self.llm)
        for one in asked:
            yield from self._rows(one)

    def _ask(self, asked: Sequence[_Asked], llm: LLM) -> None:
        """Have the teacher write questions about every clip, and judge them."""
        shown = [_shown(one.clip, self.config.llm_questions) for one in asked]
        prompts = [
            _chat(llm, ASK[one.clip.lang], text) + OPENING for one, text in zip(asked, shown, strict=True)
        ]
        for one, answer in zip(asked, complete(llm, prompts, self.sampling), strict=True):
            if isinstance(answer, LLMError):
                one.faults.append((_NOTHING, LLM_ERROR, answer.message))
                continue
            drafts = read_drafts(OPENING + answer.text)[: 2 * self.config.llm_questions]
            if not drafts:
                one.faults.append((_NOTHING, UNREADABLE, answer.text[:200]))
            for draft in drafts:
                found = fault(draft, one.clip, one.kept)
                if found is None:
                    one.kept.append(draft)
                else:
                    one.faults.append((draft, *found))

    def _ask_blind(self, asked: Sequence[_Asked], llm: LLM) -> None:
        """Have the teacher answer its own questions from the words alone, and drop those that it can."""
        open_ = [(one, d) for one in asked for d in one.kept[one.by_rule :] if d.type not in ("C", "G")]
        prompts = [
            _chat(llm, BLIND[one.clip.lang], f"{one.clip.words()}\n\n{draft.question}")
            for one, draft in open_
        ]
        answers = complete(llm, prompts, Sampling(_BLIND_TOKENS, 0.0, 1.0, seed=self.seed))
        for (one, draft), answer in zip(open_, answers, strict=True):
            if isinstance(answer, Completion) and not answered_by_words(draft, answer.text, one.clip):
                continue
            one.kept.remove(draft)
            if isinstance(answer, LLMError):
                one.faults.append((draft, LLM_ERROR, answer.message))
            else:
                one.faults.append((draft, "the words alone answer it", answer.text[:200]))

    def _rows(self, one: _Asked) -> Iterator[Row | Dropped]:
        for number, draft in enumerate(one.kept):
            by = self._teacher(one.clip) if number >= one.by_rule else None
            plain = self._row(one.clip, draft, by)
            yield plain
            explicit = with_metadata(draft.question, one.clip.turns, one.clip.lang)
            drawn = random.Random(self._dice_seed(plain)).random() < self.config.explicit_share
            if explicit != draft.question and (drawn or plain.split == "dev"):
                yield derive(plain, self.config.maker, instruction=Instruction(explicit))
        for number, (draft, reason, detail) in enumerate(one.faults, 1):  # 0 is a kept one of equal words
            row = self._row(one.clip, draft, self._teacher(one.clip), number)
            yield Dropped(row, self.config.step, reason, detail)

    def _row(self, clip: Clip, draft: Draft, by: Teacher | None, number: int = 0) -> Row:
        """A row of the question, named after the clip and the question's text."""
        made_by = self.config.made_with(self.llm) if self.llm and by else self.config.maker
        maker = f"{made_by}/{content_id(draft.question, draft.answer)}"
        return derive(
            clip.row,
            maker,
            number,
            task="paralinguistic",
            stage="1-2",
            turns=clip.turns,
            instruction=Instruction(draft.question),
            qa=Question(draft.question, cast(Any, draft.type), cast(Any, draft.level), draft.evidence),
            target=draft.answer,
            injection=None,
            trace=None,
            teacher=by,
        )

    def _teacher(self, clip: Clip) -> Teacher:
        assert self.llm is not None, "only a teacher's questions are dropped or have one in their rows"
        return teacher(self.llm, ASK[clip.lang], self.sampling)

    def _dice_seed(self, row: Row) -> int:
        return int(content_id(row.id, self.config.maker, self.seed), 16)


def _chat(llm: LLM, prompt: Prompt, text: str) -> str:
    return render(llm.template, [*prompt.messages(examples=not llm.thinks), Message("user", text)])


def _shown(clip: Clip, count: int) -> str:
    """A clip as the teacher sees it: the words, then emotion, dimensions, words' times, speaker."""
    told = _SOUND[clip.lang]
    lines = [clip.words(), told["emotion"].format(stamps(clip.labels, clip.turn, clip.lang))]
    if clip.vad is not None:
        lines.append(told["vad"].format(clip.vad.valence, clip.vad.arousal, clip.vad.dominance))
    if clip.turn.words:
        lines.append(told["timed"].format(clip.timed_words()))
    if clip.gender is not None:
        lines.append(told["gender"].format(GENDER[clip.lang][clip.gender]))
    lines.append(told["count"].format(count))
    return "\n".join(lines)
