"""The settings of the stage `affect`: how long, what is heard, and what is learned of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harken.data.rows import Task
from harken.training.align import AlignConfig
from harken.training.schedule import CORE_UPDATE, Schedule

Supervise = Literal["reply", "trace", "label"]
Heard = Literal["speech", "transcript", "shuffled"]


@dataclass(frozen=True)
class AffectConfig:
    """How long, in what batches, what is heard, and what is learned."""

    schedule: Schedule = Schedule(
        steps=200,
        rates=(("prefix.*", 3e-4), ("bridge.*", 1e-5), (CORE_UPDATE, 3e-4)),
        warmup=20,
        evaluate_every=100,
        save_every=20,
    )
    supervise: Supervise = "trace"
    """What stands before the reply: nothing, the trace in a think block, or the emotion's label in one."""
    direct_share: float = 0.5
    """Share of the conversations that are answered at once all the same, as in use."""
    always_direct: tuple[Task, ...] = ("contrast",)
    """Tasks that are answered at once always. Contrasts: their words tell no cause, and thoughts that never
    name one teach that there is none."""
    thoughts_of: tuple[str, ...] = ("reccon",)
    """Sources of which only the thoughts before replies are learned (task `empathy`): people who chat do not
    answer as a listener does."""
    metadata: bool = False
    """How the turns sound stands in the prompt, in words."""
    heard: Heard = "speech"
    """What the core reads of a user's turn: what was heard, its words in writing, or what another said."""
    affect_vectors: bool = True
    """Whether a vector of the affect stands before the words."""
    person_share: float = 0.7
    """Share of turns with the vector of a person who acted the emotion, and not a synthetic voice's."""
    borrowed_voices: bool = True
    """Whether a turn of task `empathy` that nobody has spoken may have the vector of a synthetic voice that
    said something else, which says little, so that the words decide; or else always a person's."""
    other_voice_share: float = 0.5
    """Of the thoughts before replies (task `empathy`), the share that is thought of the voice of a person who
    feels something else than the words were marked with: the voice decides, and the reply is not learned."""
    written_share: float = 0.5
    """Share of spoken instructions that stand in writing before the last turn, as in use; the others are
    heard before the first."""
    shares: tuple[tuple[Task, float], ...] = (
        ("empathy", 0.35),
        ("contrast", 0.3),
        ("trajectory", 0.1),
        ("reasoning", 0.1),
        ("paralinguistic", 0.15),
    )
    """Of the conversations; those of tasks that the rows lack go to the others."""
    batch_tokens: int = 500
    most_tokens: int = 400
    """Longer conversations are left out."""
    replay_s: float = 30.0
    """Seconds of speech in a batch from which self-distillation is replayed."""
    repeat_share: float = 0.3
    """Share of what is replayed that is repeated, not answered."""
    replay_trace_share: float = 0.5
    """Share of what is replayed that is a trace, where traces are supervised. What the rows tell of a turn is
    felt in the turn's own voice, in one of a person who feels so, or of a person who feels anything, whatever
    the words say (`AlignConfig.words_share` and `voice_share`): so that the words decide where a voice says
    little, and the voice where it says much."""
    replay_weight: float = 0.5
    """Share of the loss that is replayed; at 1 nothing else is learned."""

    def replayed(self, people: bool) -> AlignConfig:
        """How self-distillation goes on.

        Args: people: whether there are people's vectors, and causes that the teacher names.
        """
        traced = people and self.affect_vectors and self.supervise == "trace"
        config = AlignConfig(
            self.schedule,
            self.replay_s,
            (self.repeat_share, self.repeat_share),
            trace_share=self.replay_trace_share if traced else 0.0,
        )
        if not self.affect_vectors:
            return replace(config, no_affect_share=1.0, person_share=0.0)
        return config if people else replace(config, person_share=0.0)
