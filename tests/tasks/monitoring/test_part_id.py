"""A part is known by the id that was sent, by one in a file's name, or by a fresh one."""

import hashlib

import pytest

from tasks.monitoring.part_id import (
    checked_part,
    identity,
    part_in,
    part_of_request,
)
from tasks.workspace.errors import DataError
from tasks.workspace.names import part_pattern


def test_a_name_tells_the_part():
    finds = part_pattern(r"_(?P<part>\d+)\.png$")
    assert part_in("cam1_00042.png", finds) == "00042"
    assert part_in("cam1.png", finds) is None
    assert part_in("cam1_00042.png", None) is None


@pytest.mark.parametrize("text", [r"(\d+)", r"(?P<part>", r"(?P<id>\d+)"])
def test_a_pattern_has_a_group_part(text):
    with pytest.raises(DataError, match=r"regular expression|\(\?P<part>"):
        part_pattern(text)


def test_a_request_names_the_part_by_header_or_field():
    assert part_of_request("A 7", None) == "A 7"
    assert part_of_request(None, "Teil-ü") == "Teil-ü"
    assert part_of_request(None, None) is None
    with pytest.raises(DataError, match="as \\?part="):
        part_of_request("Teil-ü".encode().decode("latin-1"), None)


def test_an_id_in_another_encoding_is_not_mixed_up_with_others():
    for sent in (b"Teil-\xfc", b"Teil-\xe4"):
        with pytest.raises(DataError, match="UTF-8"):
            part_of_request(None, sent.decode(errors="replace"))  # as the web framework reads it


@pytest.mark.parametrize("text", ["", " a", "a\nb", "x" * 129])
def test_what_cannot_be_an_id_is_refused(text):
    with pytest.raises(DataError, match="no part id"):
        checked_part(text)


def test_an_inspection_without_an_id_gets_one_of_its_own():
    one, other = identity(b"same", None), identity(b"same", None)
    assert one["part"] != other["part"]
    assert one["sha256"] == other["sha256"] == hashlib.sha256(b"same").hexdigest()
