"""OpenAssistant Conversations 1: trees of messages, each reply hung on the message it answers.

A reply is paired with its true parent and the whole branch above it, never with whatever was written just before.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retentionjax.data.texts import Example, Turn, group_of
from retentionjax.errors import DataError

SOURCE = "oasst1"
_ROLES = {"prompter": "user", "assistant": "assistant"}


@dataclass(frozen=True)
class Post:
    """One message of a tree."""

    id: str
    parent: str | None
    tree: str
    role: str
    """`user` or `assistant`."""
    text: str
    approved: bool
    """Neither deleted nor refused by review."""


def read(data: bytes, where: str, language: str = "en") -> list[Post]:
    """The messages in `language` of a JSONL file, in its order. Raises DataError naming a line that is none."""
    posts = []
    for number, written in enumerate(data.decode("utf-8").splitlines(), start=1):
        try:
            row = json.loads(written)
            if row["lang"] == language:
                posts.append(_post(row))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"{where}, line {number}: not a message of OASST1 ({error!r})") from None
    return posts


def replies(posts: Sequence[Post], *, approved: bool = False) -> list[Example]:
    """Every reply with the branch it answers, and `approved` ones only if asked for."""
    return [
        Example(prompt, post.text, SOURCE, group)
        for post, prompt, group in _answered(posts)
        if post.approved or not approved
    ]


def _post(row: Mapping[str, object]) -> Post:
    return Post(
        id=str(row["message_id"]),
        parent=None if row["parent_id"] is None else str(row["parent_id"]),
        tree=str(row["message_tree_id"]),
        role=_ROLES[str(row["role"])],
        text=str(row["text"]),
        approved=not row.get("deleted", False) and row.get("review_result") is not False,
    )


def _answered(posts: Sequence[Post]) -> Iterator[tuple[Post, tuple[Turn, ...], str]]:
    """Each assistant's message whose parent is there, the turns above it, and its group."""
    by_id = {post.id: post for post in posts}
    openings = {post.tree: post.text for post in posts if post.parent is None}
    for post in posts:
        if post.role == "assistant" and post.parent in by_id:
            turns: list[Turn] = []
            above = by_id.get(post.parent)
            while above is not None:
                turns.append(Turn("user" if above.role == "user" else "assistant", above.text))
                above = by_id.get(above.parent) if above.parent is not None else None
            if turns[-1].role == "assistant":  # the branch's first message was in another language
                turns.pop()
            yield post, tuple(reversed(turns)), group_of(openings.get(post.tree, post.tree))
