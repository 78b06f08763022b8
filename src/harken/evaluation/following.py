"""Whether what the model thinks follows the voice: people's recordings whose words say nothing of a feeling.

Dev speakers act emotions in neutral sentences. The whole model hears each recording and opens its think
block; the emotion that it states there is compared with what was acted, and with what its own readout heard
(`harken.evaluation.affect` says how good that is). Beside it, the commonest answer, which a model that is
deaf to voices could give. Clips in a language that the recipe does not speak are left out: what words were
heard there is chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from harken.affect.labels import top_emotion
from harken.dialogue.render import UserTurn
from harken.evaluation.attribution import think
from harken.evaluation.labelers import LabelledClip, kappa
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.statistics import recall_ratios
from harken.evaluation.writing import Writer

METHOD = (
    "the emotion stated in the think block, against the label acted (calm counts as neutral) and against the "
    "readout's most probable label; kappa is agreement beyond chance; 95 % by bootstrap over clips; greedy"
)


def evaluate_following(writer: Writer, sets: Mapping[str, Sequence[LabelledClip]], seed: int = 0) -> Report:
    """Each corpus's figures. Args: sets: corpus -> dev speakers' clips, in the recipe's languages."""
    rows: list[Row] = []
    for corpus, clips in sets.items():
        heard = writer.hear([clip.clip.samples() for clip in clips])
        stated = think(writer, [((), UserTurn(turn.embeddings)) for turn in heard])
        thought = np.array([emotion or "none" for emotion, _ in stated])
        acted = np.array([clip.emotion for clip in clips])
        read = np.array([top_emotion(turn.emotion) for turn in heard])
        n, (common, times) = len(clips), Counter(acted.tolist()).most_common(1)[0]
        for system, labels in (("trace", thought), ("readout", read)):
            rows += [
                figure(corpus, system, "accuracy", bootstrap(per_item(labels == acted), seed=seed), n),
                figure(corpus, system, "UAR", bootstrap(recall_ratios(acted, labels), seed=seed), n),
            ]
        agreed = bootstrap(per_item(thought == read), seed=seed)
        rows += [
            figure(corpus, "trace", "says what the readout heard", agreed, n),
            figure(corpus, "trace", "the same, kappa", kappa(read, thought), n),
            figure(corpus, f"baseline: always {common}", "accuracy", times / n, n),
        ]
    counts = {corpus: f"{len(clips)} clips" for corpus, clips in sets.items()}
    return Report("following", {"data": counts, "method": METHOD}, tuple(rows))
