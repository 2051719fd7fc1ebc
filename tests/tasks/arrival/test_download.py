"""Downloads that are cut off, answered oddly or refused."""

import json

import pytest
from filelock import FileLock

from tasks.arrival.public import download as download_module
from tasks.arrival.public.download import download_file
from tasks.workspace.errors import DataError

CONTENT = bytes(range(256)) * 4000  # 1 MB


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(download_module, "WAITS", (0.0, 0.0))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "sets" / "set.zip"


def silent(here, total):
    """Nobody watches."""


def ranges(web):
    return [asked.get("Range") for asked in web.asked]


def test_a_file_comes_whole_and_leaves_nothing_beside_it(web, target):
    web.files["set.zip"] = CONTENT
    told = []
    download_file(web.url("set.zip"), target, lambda here, total: told.append((here, total)))
    assert target.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))
    assert not list(target.parent.glob("*.part*"))


def test_a_download_that_breaks_goes_on_by_itself(web, target):
    web.files["set.zip"], web.cuts = CONTENT, [1000, 50_000]
    download_file(web.url("set.zip"), target, silent)
    assert target.read_bytes() == CONTENT
    assert ranges(web) == [None, "bytes=1000-", "bytes=51000-"]


def test_the_next_command_goes_on_where_the_last_one_gave_up(web, target):
    web.files["set.zip"], web.cuts = CONTENT, [1000, 0, 0]
    with pytest.raises(DataError, match="the 1,000 bytes so far are kept"):
        download_file(web.url("set.zip"), target, silent)
    assert not target.exists()
    download_file(web.url("set.zip"), target, silent)
    assert target.read_bytes() == CONTENT and ranges(web)[-1] == "bytes=1000-"


def test_a_file_that_changed_in_between_begins_anew(web, target):
    web.files["set.zip"], web.cuts = CONTENT, [1000, 0, 0]
    with pytest.raises(DataError):
        download_file(web.url("set.zip"), target, silent)
    web.files["set.zip"] = CONTENT[::-1]
    download_file(web.url("set.zip"), target, silent)
    assert target.read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_sends_it_all_again(web, target):
    web.files["set.zip"], web.ranges, web.cuts = CONTENT, False, [1000]
    download_file(web.url("set.zip"), target, silent)
    assert target.read_bytes() == CONTENT and len(web.asked) == 2


def test_without_a_version_only_a_checksum_allows_to_go_on(web, target):
    web.files["set.zip"], web.versions = CONTENT, False
    web.cuts = [1000]
    download_file(web.url("set.zip"), target, silent)
    assert ranges(web) == [None, None]
    target.unlink()
    web.cuts = [1000]
    download_file(web.url("set.zip"), target, silent, checked=True)
    assert ranges(web)[2:] == [None, "bytes=1000-"] and "If-Range" not in web.asked[-1]
    assert target.read_bytes() == CONTENT


def test_what_is_longer_than_the_file_is_thrown_away(web, target):
    web.files["set.zip"], web.versions = CONTENT, False
    target.parent.mkdir()
    target.with_name("set.zip.part").write_bytes(CONTENT + b"more")
    note = {"url": web.url("set.zip"), "version": None, "total": None}
    target.with_name("set.zip.part.json").write_text(json.dumps(note))
    download_file(web.url("set.zip"), target, silent, checked=True)
    assert target.read_bytes() == CONTENT


def test_a_part_of_another_address_is_not_continued(web, target):
    web.files |= {"set.zip": CONTENT, "mirror.zip": CONTENT[::-1]}
    web.cuts = [1000, 0, 0]
    with pytest.raises(DataError):
        download_file(web.url("set.zip"), target, silent)
    download_file(web.url("mirror.zip"), target, silent, checked=True)
    assert target.read_bytes() == CONTENT[::-1] and ranges(web)[-1] is None


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(web, target):
    web.files["set.zip"], web.statuses = CONTENT, [503, 429]
    download_file(web.url("set.zip"), target, silent)
    assert target.read_bytes() == CONTENT
    web.asked.clear()
    with pytest.raises(DataError, match="answers 404"):
        download_file(web.url("other.zip"), target.with_name("other.zip"), silent)
    assert len(web.asked) == 1


def test_a_web_page_is_no_archive(web, target):
    web.files["set.zip"], web.kind = b"<html>log in</html>", "text/html; charset=utf-8"
    with pytest.raises(DataError, match="is a web page and no archive"):
        download_file(web.url("set.zip"), target, silent)
    assert not target.exists()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x.zip", "set.zip", "file:///etc/passwd"])
def test_only_the_web_is_asked(url, target):
    with pytest.raises(DataError, match="does not begin with http"):
        download_file(url, target, silent)


def test_no_server_is_said_so(target):
    with pytest.raises(DataError, match="Check the network"):
        download_file("http://127.0.0.1:9/set.zip", target, silent)


def test_a_disk_too_small_is_told_before_it_fills(web, target, monkeypatch):
    web.files["set.zip"] = CONTENT
    monkeypatch.setattr("tasks.workspace.files.shutil.disk_usage", lambda _: Usage())
    with pytest.raises(DataError, match="free some space"):
        download_file(web.url("set.zip"), target, silent)
    assert not target.with_name("set.zip.part").exists()


class Usage:
    free = 1000


def test_two_downloads_of_one_file_do_not_mix(web, target):
    target.parent.mkdir()
    with FileLock(target.with_name("set.zip.lock")), pytest.raises(DataError, match="already"):
        download_file(web.url("set.zip"), target, silent)


def test_a_key_in_the_address_is_not_kept_beside_the_file(web, target):
    """Another signed address of the same file goes on where the one before broke."""
    first, second = (f"set?X-Amz-Signature={name}" for name in ("first", "second"))
    web.files |= {first: CONTENT, second: CONTENT}
    web.cuts = [400, 0, 0]
    with pytest.raises(DataError):
        download_file(web.url(first), target, silent)
    note = target.with_name("set.zip.part.json").read_text()
    assert "first" not in note and "Signature" not in note
    download_file(web.url(second), target, silent)
    assert target.read_bytes() == CONTENT and ranges(web)[-1] == "bytes=400-"
