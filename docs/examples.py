"""What readers copy out of the documents, held to the product: commands, worlds, JSON, Python, defaults, headers."""

import argparse
import contextlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from entrepot.cli.main import parser
from entrepot.compose.settings import DEFINITIONS
from entrepot.core.errors import WorldRejected
from entrepot.provisioning.world_file import read_world

_FENCE = re.compile(r"^(?P<mark>```|~~~)(?P<language>\w*)\n(?P<text>.*?)^(?P=mark)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_DEFAULT = re.compile(r"^\| `(ENTREPOT_\w+)` \| (.*?) \|", re.MULTILINE)
_HEADER = re.compile(r"(?:x|apim|openai|azure)-[a-z0-9]+(?:-[a-z0-9]+)+")
_STARTS = (".venv/bin/entrepot ", "entrepot ")
_FLAG_ROW = re.compile(r"^\| (`--.*?) \|", re.MULTILINE)
_NO_BRACKETS = str.maketrans("", "", "[]")  # What may be left out stands in them.
_OUTPUT = {"entrepot ready in N.N s"}  # Said by the program, and no command.
# Around a fragment of a world file, so that what it refers to is there.
_AROUND = """
operator: {name: Example, currency: USD}
partners: [{id: maker}]
models: [%s]
price_books:
  - {id: list, versions: [{effective_from: 2024-01-01, prices: [%s]}]}
customers: [%s]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list}]
projects: [{id: search, customer: acme}]
"""
_MODELS = ("gpt-4", "maker-2", "maker-3")
_CUSTOMERS = ("acme", "globex")


class Block(NamedTuple):
    """A fenced block of a document. line: of its first line of text."""

    path: Path
    line: int
    language: str
    text: str


def broken_examples(documents: Mapping[Path, str]) -> Iterator[str]:
    """A line for each example in the documents that the product, or its language, would not take."""
    for path, text in documents.items():
        for block in _blocks(path, text):
            yield from (f"{block.path.name}:{block.line}: {fault}" for fault in _faults(block))
        for heading, part in _sections(_FENCE.sub("", text)):
            yield from (f"{path.name}: {fault}" for fault in _talk(heading, part))


def wrong_defaults(settings: str) -> Iterator[str]:
    """A line for each setting whose default is another one than the table of settings says."""
    said = dict(_DEFAULT.findall(settings))
    for item in DEFINITIONS:
        row = said[item.variable]
        if item.default and item.default not in {text.removeprefix("./") for text in _CODE.findall(row)}:
            yield f"the default of {item.variable} is {item.default!r}, and not what the table says: {row}"


def unknown_headers(documents: Iterable[str], source: str) -> Iterator[str]:
    """A line for each header that documents name and no file of the product does."""
    named = {span for text in documents for span in _CODE.findall(_FENCE.sub("", text)) if _HEADER.fullmatch(span)}
    for name in sorted(named):
        stem = name.rpartition("-")[0]  # Some end with the name of a measure.
        if name not in source and f"{stem}-{{" not in source:
            yield f"the header {name} is in no file of the product"


def undescribed_flags(code: str) -> Iterator[str]:
    """A line for each flag that no document names as code, with the first command that has it."""
    owners: dict[str, str] = {}
    for typed, command in leaves(parser(), "entrepot"):
        for flag in _flags(command):
            owners.setdefault(flag, typed)
    for flag, typed in sorted(owners.items()):
        if not re.search(rf"{flag}(?![\w-])", code):
            yield f"the flag {flag} of {typed} is described nowhere in README.md or docs/"


def leaves(top: argparse.ArgumentParser, typed: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command as it is typed, and its parser."""
    below = _commands(top)
    if not below:
        yield typed, top
    for word, child in below.items():
        yield from leaves(child, f"{typed} {word}")


def _blocks(path: Path, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        yield Block(path, text[: found.start("text")].count("\n") + 1, found["language"], found["text"])


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text until the next heading of its kind); what stands before the first has none."""
    parts = _SECTION.split(text)
    return zip(["", *parts[1::2]], parts[::2], strict=True)


def _faults(block: Block) -> Iterator[str]:
    if block.language == "json":
        yield from _refusal(lambda: json.loads(block.text))
    elif block.language == "python":
        yield from _refusal(lambda: compile(block.text, block.path.name, "exec"))
    elif block.language == "yaml" and block.path.name == "world.md":
        yield from _refusal(lambda: read_world([*_around(block.text), (block.path.name, block.text)]))
    elif block.language in {"sh", "console", "text"}:
        for line in block.text.replace("\\\n", " ").splitlines():
            typed = line.removeprefix("$ ")
            if block.language == "sh":
                yield from _refused_by_zsh(line)
            if typed.startswith(_STARTS) and (line != typed or block.language == "sh"):
                yield from _refused_command(shlex.split(typed, comments=True)[1:])


def _refused_by_zsh(line: str) -> Iterator[str]:
    """What a line does not survive that is pasted into zsh as it comes: comments, and patterns that match no file."""
    bare = _QUOTED.sub("", line)
    if re.search(r"(?:^|\s)#", bare):
        yield f"zsh takes no comments where lines are pasted: {line}"
    if re.search(r"[\[\]*?]", bare):
        yield f"zsh wants quotes here: {line}"


def _refusal(read: Callable[[], object]) -> Iterator[str]:
    try:
        read()
    except (ValueError, SyntaxError, WorldRejected) as error:
        yield f"{error}"


def _around(fragment: str) -> list[tuple[str, str]]:
    """A world without what the fragment declares itself; none around one that is whole."""
    sections = yaml.safe_load(fragment)
    if "operator" in sections:
        return []
    declared = {item["id"] for part in sections.values() for item in part if "id" in item}
    models = [f"{{id: {name}, partner: maker, context_tokens: 8000}}" for name in _MODELS if name not in declared]
    customers = [f"{{id: {name}}}" for name in _CUSTOMERS if name not in declared]
    meters = ("input_tokens", "output_tokens")
    prices = [f"{{model: {name}, meter: {meter}, per_million: 1}}" for name in _MODELS for meter in meters]
    return [("around", _AROUND % tuple(", ".join(rows) for rows in (models, prices, customers)))]


def _refused_command(words: list[str]) -> Iterator[str]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser().parse_args(words)
    except SystemExit:
        yield f"entrepot {shlex.join(words)}: {said.getvalue().splitlines()[-1]}"


def _talk(heading: str, text: str) -> Iterator[str]:
    """What is wrong with the commands that a section talks of, and with a table of flags under the name of commands."""
    for span in _CODE.findall(text):
        if span.startswith(_STARTS) and span not in _OUTPUT:
            yield from _unknown_words(span.split(" ", 1)[1].translate(_NO_BRACKETS).split())
    headed = [span.removeprefix("entrepot ") for span in heading.split(", ") if span.startswith("entrepot ")]
    for command in headed:
        flags = [flag for cell in _FLAG_ROW.findall(text) for flag in re.findall(r"--[\w-]+", cell)]
        yield from _unknown_words([*command.split(), *flags])


def _unknown_words(words: list[str]) -> Iterator[str]:
    """What no command has of a line as one talks of it: with an ellipsis, or without what has to be there."""
    command, typed = parser(), "entrepot"
    while (below := _commands(command)) and words and words[0] != "…" and not words[0].startswith("--"):
        typed = f"{typed} {words[0]}"
        if words[0] not in below:
            yield f"there is no {typed}"
            return
        command = below[words.pop(0)]
    for word in words:
        if word.startswith("--") and word not in _flags(command):
            yield f"{typed} has no {word}"


def _commands(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    below = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return {word: child for action in below for word, child in action.choices.items()}


def _flags(command: argparse.ArgumentParser) -> set[str]:
    return {name for action in command._actions for name in action.option_strings if name.startswith("--")}
