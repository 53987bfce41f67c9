"""What a request may use, before anything is known of it."""


class Estimate:
    """output_tokens: as far as the request says so itself, or a guess. The maxima cannot be exceeded, whatever it has
    in it. It is not changed; a plain class, since every request that meets limits makes one and reads it often.
    """

    __slots__ = ("is_guess", "output_tokens", "output_tokens_max", "prompt_tokens", "prompt_tokens_max")

    def __init__(
        self,
        prompt_tokens: int,
        output_tokens: int,
        prompt_tokens_max: int,
        output_tokens_max: int,
        is_guess: bool = False,
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.prompt_tokens_max = prompt_tokens_max
        self.output_tokens_max = output_tokens_max
        self.is_guess = is_guess
