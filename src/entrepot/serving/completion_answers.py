"""Answers to plain completion requests."""

from collections.abc import Iterable, Sequence

from entrepot.ports.model_engine import Ending, Piece, TokenChoice
from entrepot.serving.answers import Heading, Json, TextAnswer

_NEVER = -9999.0


class CompletionAnswer(TextAnswer):
    """Continued texts. echo: each choice's prompt when the caller wants it repeated."""

    def __init__(
        self,
        heading: Heading,
        choices: int,
        *,
        streamed: bool,
        usage_in_stream: bool,
        logprobs: bool,
        echo: Sequence[str] = (),
    ) -> None:
        super().__init__(heading, choices, streamed=streamed, usage_in_stream=usage_in_stream, logprobs=logprobs)
        self._echo = echo or [""] * choices
        self._offsets = [len(prompt) for prompt in self._echo]

    def _kind(self, *, streamed: bool) -> tuple[str, str]:
        del streamed  # Both have one name here.
        return "cmpl", "text_completion"

    def _openings(self) -> Iterable[Json]:
        return [_choice(index, prompt) for index, prompt in enumerate(self._echo) if prompt]

    def _delta(self, index: int, piece: Piece) -> Json | None:
        if not piece.text and not piece.chances:
            return None
        shown = self._shown(piece.chances, self._offsets[index])
        self._offsets[index] += len(piece.text)
        return _choice(index, piece.text, shown)

    def _ends(self, index: int, ending: Ending) -> Iterable[Json]:
        yield _choice(index, "", reason=ending.reason)

    def _whole(self, index: int, ending: Ending) -> Json:
        written = self._written[index]
        shown = self._shown(written.chances, len(self._echo[index]))
        return _choice(index, self._echo[index] + written.whole(), shown, ending.reason)

    def _shown(self, chances: Sequence[TokenChoice], offset: int) -> Json | None:
        if not self._logprobs:
            return None
        offsets = []
        for choice in chances:
            offsets.append(offset)
            offset += len(choice.taken.text)
        return {
            "tokens": [choice.taken.text for choice in chances],
            "token_logprobs": [max(choice.taken.logprob, _NEVER) for choice in chances],
            # Two tokens may look alike (halves of a letter); the likelier one is to stand.
            "top_logprobs": [
                {chance.text: max(chance.logprob, _NEVER) for chance in reversed(choice.likeliest)}
                for choice in chances
            ],
            "text_offset": offsets,
        }


def _choice(index: int, text: str, logprobs: Json | None = None, reason: str | None = None) -> Json:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
