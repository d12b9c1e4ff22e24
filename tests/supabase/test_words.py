"""What is a word to the search of schema.sql, beside what is one to the journal's."""

from __future__ import annotations

import json
import random
from unicodedata import normalize, ucd_3_2_0

import pytest

from realtime.log import words
from tests.support.supabase_lite import SupabaseLite

KNOWN = [
    chr(code)
    for code in range(1, 0x10000)
    if not 0xD800 <= code <= 0xF8FF and ucd_3_2_0.category(chr(code)) != "Cn"
]
"""Characters that every version of Python and Postgres knows."""

SPOKEN = (
    "tea Größe café ПРИВЕТ ΣΊΣΥΦΟΣ مرحبا، नमस्ते 今天天气怎么样 東京タワー สวัสดีครับ 오늘 "
    "iPhone手机 手机abc 雨 я xy get_user_by_id 42 don't 東京 京 №5 ㎏ Ⅷ " + "long" * 10
).split()


def asked(project: SupabaseLite, expression: str, given: list[str]) -> list[list[str]]:
    """What an expression over `given` texts comes to."""
    texts = json.dumps(given).replace("'", "''")
    found: list[list[str]] = json.loads(
        project.psql(
            f"select json_agg({expression} order by place) from "
            f"json_array_elements_text('{texts}') with ordinality as t (given, place)"
        )
    )
    return found


def test_words_end_at_the_same_characters(project: SupabaseLite) -> None:
    kept = [c for c in KNOWN if normalize("NFKD", c) == c]
    texts = [f"ab{c}cd" for c in kept]
    split = asked(project, "public.search_list(given, true)", texts)
    unlike = [
        (hex(ord(c)), found, sorted(words.words(text)))
        for c, text, found in zip(kept, texts, split, strict=True)
        if len(found) != len(words.words(text))
    ]
    assert unlike == []


def test_words_are_folded_alike(project: SupabaseLite) -> None:
    texts = [" ".join(random.Random(seed).choices(SPOKEN, k=6)) for seed in range(200)]
    found = asked(project, "tsvector_to_array(public.search_words(given))", texts)
    assert [set(each) for each in found] == [words.words(text) for text in texts]


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_questions_are_read_alike(project: SupabaseLite, length: int) -> None:
    texts = [" ".join(random.Random(seed).choices(SPOKEN, k=length)) for seed in range(60)]
    for text, found in zip(
        texts, asked(project, "public.search_queries(given)", texts), strict=True
    ):
        _, *terms = words.question(text, "u").split(" AND ")
        wanted = [
            f"'{term[1:-3]}':*" if term.endswith(" *") else f"'{term[1:-1]}'" for term in terms
        ]
        assert found == wanted, text
