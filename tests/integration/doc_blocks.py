"""The code blocks of README and docs: as the built site shows them, so that none is overlooked."""

from __future__ import annotations

import pickle
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "example_dags"


@dataclass(frozen=True)
class Block:
    """
    A piece of code on a page.

    :param where: Page and line, for messages.
    :param language: The language that the block declares.
    :param file: The name of the file that it is, where it has one.
    :param text: The code.
    """

    where: str
    language: str
    file: str
    text: str


def of_markdown(page: Path) -> list[Block]:
    """
    Return the code blocks of a page outside the site.

    :param page: Its path. The file's name is what follows the language: ``python test_it.py``.
    """
    found = []
    for token in MarkdownIt().parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            language, _, file = token.info.partition(" ")
            line = (token.map or [0])[0] + 1
            found.append(Block(f"{page.name}:{line}", language, file.strip(), token.content))
    return found


def of_site(doctrees: Path, page: str) -> list[Block]:
    """
    Return the code blocks of a page of the site. Those taken from the example DAGs are left out: they run.

    :param doctrees: Where Sphinx has put the pages that it read.
    :param page: The page's name.
    """
    from docutils import nodes

    document = pickle.loads((doctrees / f"{page}.doctree").read_bytes())
    found = []
    for node in document.findall(nodes.literal_block):
        if "source" in node and EXAMPLES in Path(node["source"]).parents:
            continue
        caption = (
            node.parent.next_node(nodes.caption)
            if "literal-block-wrapper" in node.parent["classes"]
            else None
        )
        found.append(
            Block(
                f"{node.source or page}:{node.line}",
                node.get("language", ""),
                caption.astext() if caption else "",
                node.astext() + "\n",
            )
        )
    return found


def commands(text: str) -> Iterator[list[str]]:
    """
    Yield the commands of a shell session, each taken apart into words.

    :param text: The session, without prompts.
    """
    waiting = ""
    for line in text.replace("\\\n", " ").splitlines():
        waiting += line + "\n"
        with suppress(ValueError):  # a quotation that goes on in the next line
            if words := shlex.split(waiting, comments=True):
                yield words
            waiting = ""
    assert not waiting, f"a quotation does not end: {waiting}"
