"""Predictions as systems under test: what other models answered, as their own code wrote it down.

FOLDER/HD-Track1/{zh,en}/HD-Track1-T{1,2,3}.jsonl    a submission to HumDial, with its recordings
FOLDER/prediction/{model}/{dataset}.jsonl            answers to TELEVAL's sets
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from harken.audio.io import Recording, read
from harken.errors import DataError, InputError
from harken.evaluation.humdial.dialogues import read_dialogues
from harken.evaluation.humdial.submission import NAME
from harken.evaluation.spoken_qa import prediction_file, read_predictions
from harken.evaluation.systems.base import Answer, Question, Unanswered


class Predictions:
    """The answers in a folder; a question's data set is the file it is looked up in.

    HumDial's are `HD-Track1/{zh,en}/HD-Track1-T{1,2,3}` with the key `{dialogue_id}_{turn_id}`.
    """

    concurrency = 1

    def __init__(self, folder: Path, model: str | None = None) -> None:
        """Args: model: whose answers to TELEVAL's sets; also the name in reports, else the folder's.

        Raises: DataError where the folder holds predictions of neither form.
        """
        self.name = model or folder.resolve().name
        self._folder = folder
        if not (folder / NAME).is_dir() and not (folder / "prediction" / self.name).is_dir():
            raise DataError(
                f"{folder} holds neither {NAME} nor prediction/{self.name}",
                "name the folder that they lie in; --model names whose predictions they are",
            )
        self._texts = cache(self._read)

    def answer(self, question: Question) -> Answer:
        """As of every `System`; the time to first audio is not known."""
        text = self._texts(question.dataset).get(question.key)
        if not text or not text.strip():
            raise Unanswered(f"{self._folder} has no answer to {question.key} of {question.dataset}")
        sound = self._sound(question) if question.spoken else None
        return Answer(text, sound.samples, sound.sample_rate) if sound else Answer(text)

    def _sound(self, question: Question) -> Recording | None:
        path = self._folder / question.dataset / f"{question.key}_response.wav"
        if not path.exists():
            return None
        try:
            return read(path, sample_rate=read(path).source_sample_rate)  # as it was made
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error

    def _read(self, dataset: str) -> dict[str, str | None]:
        """Key -> text, of what can be read in the file of a data set; nothing where there is none."""
        if dataset.startswith(f"{NAME}/"):
            path = self._folder / f"{dataset}.jsonl"
            dialogues = read_dialogues(path)[0] if path.is_file() else []
            return {f"{d.dialogue_id}_{t.turn_id}": t.response_text for d in dialogues for t in d.turns}
        path = prediction_file(self._folder, self.name, dataset)
        predictions = read_predictions(path)[0] if path.is_file() else []
        return {prediction.key: prediction.pred for prediction in predictions}
