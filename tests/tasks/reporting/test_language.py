"""Every text of a dictionary stands on a page, and nothing of it is lost in the other language."""

import re
from pathlib import Path

import pytest

from tasks.reporting.language import LANGUAGES, words

ROOT = Path(__file__).parents[3] / "tasks"
SOURCES = ("reporting", "web/board", "decisions", "promotion", "build", "products", "workspace")
PLACE = re.compile(r"\{(\w+)\}")


def sources() -> str:
    """All that a text of a page can come from, without line breaks and seams of literals."""
    paths = [path for room in SOURCES for path in (ROOT / room).rglob("*") if path.is_file()]
    kept = [path for path in paths if path.suffix in (".py", ".j2", ".js")]
    text = "\n".join(path.read_text("utf-8") for path in sorted(kept))
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    text = text.replace("&lt;", "<").replace("&gt;", ">")
    return plain(text)


def plain(text: str) -> str:
    return re.sub(r"[\s_]+", " ", text).lower()


def stands(piece: str, text: str, parts: int = 3) -> bool:
    """Whether a piece stands in a text, whole or in a few parts: a plural is put together."""
    if piece in text:
        return True
    words = piece.split(" ")
    return parts > 1 and any(
        " ".join(words[:cut]) in text and stands(" ".join(words[cut:]), text, parts - 1)
        for cut in range(1, len(words))
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_a_dictionary_is_unused(language: str) -> None:
    text = sources()
    unused = [
        key
        for key in words()[language]
        for piece in PLACE.split(key)[::2]
        if re.search(r"[A-Za-z]{2}", piece) and not stands(plain(piece).strip(" .,;:()"), text)
    ]
    assert unused == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_put_into_a_text_is_put_into_its_translation_too(language: str) -> None:
    for key, said in words()[language].items():
        assert said.strip() and sorted(set(PLACE.findall(key))) == sorted(
            set(PLACE.findall(said))
        ), key
