"""Ranges of objects are read from servers that answer them with the checksum of the whole."""

import botocore.session
import pytest

from tasks.build.dvc_files import open_repo
from tasks.workspace.aws import CHECKSUMS, checksums_when_required, client
from tasks.workspace.paths import Workspace

NAMES = [f"AWS_{key.upper()}" for key in CHECKSUMS]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what is set meanwhile goes again
        monkeypatch.delenv(name)


def found():
    session = botocore.session.Session()
    return [session.get_config_variable(key) for key in CHECKSUMS]


def test_clients_of_others_ask_for_what_is_required():
    assert found() == ["when_supported"] * 2
    checksums_when_required()
    assert found() == ["when_required"] * 2


def test_the_environment_has_the_last_word(monkeypatch):
    monkeypatch.setenv(NAMES[0], "when_supported")
    checksums_when_required()
    assert found() == ["when_supported", "when_required"]


def test_dvc_is_opened_with_it(tmp_path):
    from dvc.repo import Repo

    Repo.init(str(tmp_path), no_scm=True).close()
    with open_repo(Workspace(tmp_path)):
        assert found() == ["when_required"] * 2


def test_our_own_client_has_it_too(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    config = client("s3", region="eu-central-1").meta.config
    assert [getattr(config, key) for key in CHECKSUMS] == ["when_required"] * 2
