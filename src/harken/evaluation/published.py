"""Figures that others published, to stand beside our own, each with its source; none was measured here.

Scores of HumDial are from 1 to 5, those of spoken question answering from 0 to 100. A system has one name in
all tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row of a published table."""

    system: str
    scores: Mapping[str, float]
    source: str


IEAT_PAPER = (
    "Wang et al., A Unified Spoken Language Model with Injected Emotional-Attribution Thinking for "
    "Human-like Interaction"
)
IEAT = "TeleAI (IEAT)"
"""The system of that paper, first in the challenge."""

TELEVAL = "Li et al., TELEVAL, arXiv:2507.18061; github.com/Tele-AI/TELEVAL, assets/result.md at 6acd6656"


def _rows(source: str, columns: str, table: Mapping[str, tuple[float, ...]]) -> tuple[Published, ...]:
    names = columns.split()
    return tuple(Published(s, dict(zip(names, row, strict=True)), source) for s, row in table.items())


TABLE_1 = _rows(
    f"{IEAT_PAPER}, Table 1: HumDial Track 1, dev set; TELEVAL",
    "Task1-zh Task1-en Task2-zh Task2-en Task3-zh Task3-en AQA-zh AQA-en",
    {
        "Freeze-Omni": (3.11, 2.58, 3.63, 2.79, 4.02, 3.66, 21.23, 45.29),
        "Step-Audio 2 mini": (3.71, 2.22, 3.81, 3.16, 4.53, 4.30, 28.11, 47.67),
        "Qwen2.5-Omni": (4.38, 4.40, 3.25, 3.73, 4.28, 4.18, 22.08, 50.13),
        "Qwen3-Omni": (4.05, 3.90, 3.80, 3.56, 4.34, 4.31, 49.95, 56.91),
        "MiMo-Audio-Instruct": (4.89, 3.92, 4.89, 4.51, 4.00, 3.63, 34.29, 51.63),
        IEAT: (4.98, 4.87, 4.98, 4.83, 4.53, 4.36, 37.38, 57.69),
    },
)
"""Tasks 1 to 3 as the challenge's judge scored them, task 3 its three dimensions together."""

TABLE_2 = _rows(
    f"{IEAT_PAPER}, Table 2: HumDial Track 1, test set",
    "Task1 Task2 Task3 Hum Final",
    {
        IEAT: (4.97, 4.98, 3.85, 3.79, 4.27),
        "Rank 2nd": (4.90, 5.00, 4.14, 3.70, 4.24),
        "Rank 3rd": (4.76, 4.76, 4.02, 3.81, 4.21),
        "Rank 4th": (3.67, 4.92, 4.93, 3.71, 4.06),
        "Baseline": (2.62, 2.73, 2.73, 2.96, 2.82),
    },
)
"""Both languages together. Task3 is the dimension of the text, judged; Hum the mean of those of the voice,
rated by people."""

TELEVAL_AQA = _rows(
    TELEVAL,
    "llamaqa-en llamaqa-zh triviaqa-en triviaqa-zh webq-en webq-zh chinesesimpleqa-zh chinese_quiz-zh mean",
    {
        "GPT-4o Audio": (80.67, 68.33, 73.60, 58.54, 61.35, 50.77, 34.49, 55.45, 52.93),
        "GLM-4-Voice": (67.67, 53.00, 34.89, 27.00, 37.00, 34.62, 14.47, 47.09, 31.55),
        "MiniCPM-o 2.6": (70.67, 58.33, 46.95, 30.59, 48.50, 39.42, 13.68, 46.25, 36.16),
        "Baichuan-Omni-1.5": (69.33, 58.00, 34.89, 29.75, 42.98, 39.32, 15.74, 51.09, 34.84),
        "LLaMA-Omni2": (69.33, 45.67, 25.45, 20.31, 31.89, 30.08, 8.81, 28.57, 24.89),
        "SpeechGPT-2.0-preview": (0.00, 36.33, 0.12, 13.62, 0.00, 20.33, 4.16, 27.12, 9.88),
        "Freeze-Omni": (66.00, 57.67, 37.87, 23.78, 41.95, 35.60, 14.48, 49.76, 33.05),
        "Qwen2.5-Omni": (69.67, 58.67, 43.13, 29.03, 44.32, 35.19, 13.42, 56.30, 34.77),
        "Kimi-Audio": (70.67, 65.33, 45.52, 32.97, 43.81, 39.27, 17.58, 53.51, 37.18),
        "Step-Audio 2 mini": (64.33, 59.67, 41.70, 34.41, 46.28, 40.92, 20.50, 61.86, 38.96),
        "Qwen3-Omni": (74.00, 71.00, 50.78, 45.40, 47.11, 46.23, 48.65, 63.56, 50.52),
        "MiMo-Audio-Instruct": (76.67, 79.33, 42.65, 43.49, 52.27, 54.80, 23.35, 67.80, 46.11),
    },
)
"""By set; `mean` is over all questions."""
