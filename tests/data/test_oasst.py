"""Trees of messages: a reply belongs to its parent, whatever stands before it in the file."""

import json
from pathlib import Path

import pytest

from retentionjax.data import oasst, text_loading, text_sources, texts
from retentionjax.errors import DataError


def _row(name: str, parent: str | None, role: str, **changed: object) -> dict[str, object]:
    row = {"message_id": name, "parent_id": parent, "message_tree_id": "a", "role": role}
    return {**row, "text": f"text of {name}", "lang": "en", "deleted": False, "review_result": True, **changed}


ROWS = [
    _row("a", None, "prompter"),
    _row("b1", "a", "assistant"),
    _row("b2", "a", "assistant"),
    _row("c", "b1", "prompter"),
    _row("b3", "a", "assistant"),
    _row("d", "c", "assistant"),
    _row("e", "a", "assistant", lang="de"),
    _row("f", "nowhere", "assistant"),
    _row("g", "a", "assistant", deleted=True),
]


@pytest.fixture
def posts() -> list[oasst.Post]:
    return oasst.read("\n".join(json.dumps(row) for row in ROWS).encode(), "here")


def test_a_reply_is_paired_with_the_branch_above_it(posts: list[oasst.Post]) -> None:
    found = {each.response: [turn.text for turn in each.prompt] for each in oasst.replies(posts, approved=True)}
    assert found == {
        "text of b1": ["text of a"],
        "text of b2": ["text of a"],
        "text of b3": ["text of a"],
        "text of d": ["text of a", "text of b1", "text of c"],
    }
    assert {each.group for each in oasst.replies(posts)} == {texts.group_of("text of a")}


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"lang": "en"}'])
def test_a_line_that_is_no_message_is_named(damaged: str) -> None:
    with pytest.raises(DataError, match="here, line 2: not a message of OASST1"):
        oasst.read((json.dumps(ROWS[0]) + "\n" + damaged).encode(), "here")


def test_the_validation_messages_hold_the_pairs_their_keeper_counted(real_data: Path) -> None:
    found = text_sources.obtain("oasst1", "messages")
    posts = oasst.read(found.data, found.where)
    assert len(posts) == 2_022
    assert len({post.tree for post in posts}) == 191
    assert len(oasst.replies(posts)) == 1_241
    by_text = {post.id: post for post in posts}
    assert all(each.prompt[-1].role == "user" and each.prompt[0].role == "user" for each in oasst.replies(posts))
    parents = {(by_text[post.parent].text, post.text) for post in posts if post.parent in by_text}
    assert all((each.prompt[-1].text, each.response) in parents for each in oasst.replies(posts))


def test_no_tree_is_in_two_splits(real_data: Path) -> None:
    table = text_loading.load("oasst1")
    groups = [{text.group for text in table.splits[split]} for split in texts.SPLITS]
    assert all(groups)
    assert sum(len(each) for each in groups) == len(set.union(*groups))
    openings = [{text.prompt[0].text for text in table.splits[split]} for split in texts.SPLITS]
    assert not openings[0] & openings[1]
    assert not openings[0] & openings[2]
