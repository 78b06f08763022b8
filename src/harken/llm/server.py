"""A language model behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp or a hosted one.

Prompts go raw to its completions route. The `openai` client tries again on 408, 409, 429, 5xx, timeouts and
broken connections, after a growing, jittered pause or as long as the server's Retry-After says (to 2 min).
A server that refuses to hold an answer to a schema is asked again without one, and from then on always.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from harken.errors import HarkenError, InputError, MissingExtra
from harken.llm import templates
from harken.llm.asking import Asker
from harken.llm.base import Completion, LLMError, Sampling, whole_characters

if TYPE_CHECKING:
    import openai

_log = logging.getLogger(__name__)
_TELLING = ("root", "meta", "owned_by")  # of what a server says of a model: stays as it is over a restart


class ServedLLM(Asker):
    """A model of the server at `url`, which is asked nothing before the first prompt or `revision`."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        revision: str | None = None,
        template: str = "chatml",
        thinks: bool = False,
        api_key_env: str | None = None,
        concurrency: int = 16,
        tries: int = 6,
        timeout_s: float = 300.0,
    ) -> None:
        """Describe the model.

        Args:
            url: as the `openai` client wants it, mostly ending in `/v1`.
            model: its name at that server.
            revision: what the server runs; None takes a hash of what its `/models` says of the model.
            api_key_env: the environment variable that holds the key; None for a server without keys.
            concurrency: requests out at once.
            tries: of a prompt before it is given up.
            timeout_s: of a try.

        Raises InputError for an empty key, MissingExtra without the `openai` package.
        """
        super().__init__(model, revision, template, thinks, concurrency)
        self._stop = templates.find(template).end
        self._url = url
        self._key = key_in(api_key_env)
        self._tries = tries
        self._timeout_s = timeout_s
        self._starting = threading.RLock()
        self._client: openai.OpenAI | None = None
        self._takes_schemas = True

    @property
    def revision(self) -> str:
        """The one given, or the server's word. Raises HarkenError where it does not answer."""
        if self._revision is None:
            self.start()
        assert self._revision is not None
        return self._revision

    def start(self) -> None:
        """See that the server is there and, unless a revision was given, has the model, or HarkenError."""
        with self._starting:
            if self._client is not None:
                return
            client = open_client(self._url, self._key, self._tries, self._timeout_s)
            served = self._served(client)
            if self._revision is None:
                if self.name not in served:
                    raise InputError(
                        f"{self._url} has no model named {self.name!r}",
                        f"it has {', '.join(sorted(served)) or 'none'}; a given revision is not looked up",
                    )
                self._revision = _fingerprint(served[self.name])
            self._client = client

    def close(self) -> None:
        """Close the connections."""
        with self._starting:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def ask(self, prompt: str, sampling: Sampling) -> Completion | LLMError:
        """One answer, or an LLMError that says what the server said last."""
        import openai

        client = self._client
        if client is None:
            return LLMError(f"{self.name}: closed while a prompt waited")
        try:
            answer = self._answer(client, prompt, sampling)
        except (openai.OpenAIError, ValueError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            return LLMError(f"{self.name}: {one_line(error, self._key)}")
        return self._completion(answer) or LLMError(f"{self.name}: the server's answer is not a completion")

    def _answer(self, client: openai.OpenAI, prompt: str, sampling: Sampling) -> Any:
        """Held to the sampling's schema, unless the server refuses that and answers without."""
        import openai

        if sampling.json_schema is None or not self._takes_schemas:
            return self._create(client, prompt, sampling, None)
        try:
            return self._create(client, prompt, sampling, _response_format(sampling.json_schema))
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            answer = self._create(client, prompt, sampling, None)  # else it was not for the schema
        with self._starting:
            first, self._takes_schemas = self._takes_schemas, False
        if first:
            _log.warning("%s at %s refuses schemas: its answers are held to none", self.name, self._url)
        return answer

    def _create(
        self, client: openai.OpenAI, prompt: str, sampling: Sampling, more: dict[str, object] | None
    ) -> Any:
        return client.completions.create(
            model=self.name,
            prompt=prompt,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop=[*sampling.stop, self._stop],
            seed=sampling.seed,
            extra_body=more,
        )

    def _completion(self, answer: Any) -> Completion | None:
        """The first choice of an answer, or None where it has another form (the client does not check)."""
        choices = getattr(answer, "choices", None)
        text = self._text(choices[0]) if isinstance(choices, list) and choices else None
        if not isinstance(choices, list) or not isinstance(text, str):
            return None
        if choices[0].finish_reason not in ("stop", "length"):  # aborted, or a filter cut it
            return None
        usage = getattr(answer, "usage", None)
        read, written = (getattr(usage, f"{which}_tokens", None) for which in ("prompt", "completion"))
        return Completion(whole_characters(text), choices[0].finish_reason, read or 0, written or 0)

    def _text(self, choice: Any) -> Any:
        """What was written, where the choice has the route's form."""
        return getattr(choice, "text", None)

    def _served(self, client: openai.OpenAI) -> dict[str, Any]:
        """What the server says of each of its models; nothing where it has no such list."""
        import openai

        try:
            listed = client.with_options(max_retries=1, timeout=30.0).models.list()
            return {model.id: model.to_dict() for model in listed}
        except openai.APIConnectionError as error:
            raise HarkenError(
                f"no language model server answers at {self._url}", "is it running, and is its port right?"
            ) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise HarkenError(
                f"{self._url} refuses the key: {one_line(error, self._key)}",
                "name its variable in api_key_env",
            ) from error
        except (openai.OpenAIError, ValueError, AttributeError, TypeError) as error:
            if self._revision is None:
                raise HarkenError(
                    f"{self._url} does not say which models it has: {one_line(error, self._key)}",
                    "does the address end as it should, mostly in /v1? else give the model's revision",
                ) from error
            return {}


def open_client(url: str, key: str, tries: int, timeout_s: float) -> openai.OpenAI:
    """A client of the server at `url`; nothing is asked yet. Raises MissingExtra without `openai`."""
    try:
        import openai
    except ImportError as error:
        raise MissingExtra("a language model on a server", "data") from error
    # A key is always passed: the client would else send OPENAI_API_KEY to whatever server this is.
    timeout = openai.Timeout(timeout_s, connect=min(timeout_s, 10.0))
    return openai.OpenAI(base_url=url, api_key=key or "none", max_retries=tries - 1, timeout=timeout)


def key_in(variable: str | None) -> str:
    """The key in an environment variable; "" for None. Raises InputError where it holds none."""
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"the environment variable {variable} holds no key", f"export {variable}=…")
    return key


def one_line(error: Exception, key: str) -> str:
    """The error on one line, without the key, which some servers repeat."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text.replace(key, "…") if key else text)[:300]


def _response_format(schema: str) -> dict[str, object]:
    """A field of a request that the client's completions route has no argument for."""
    form = {"name": "answer", "strict": True, "schema": json.loads(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _fingerprint(model: dict[str, Any]) -> str:
    telling = json.dumps([model.get(field) for field in _TELLING], sort_keys=True)
    return "served-" + hashlib.sha256(telling.encode()).hexdigest()[:12]
