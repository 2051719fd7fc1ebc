"""A release that is signed is used, and none in which anything was changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tasks.documents.manifest import MANIFEST, About
from tasks.store.base import Store
from tasks.store.champion import promote
from tasks.store.fetch_release import fetch
from tasks.store.opening import open_store, store_of
from tasks.store.release import folder_of
from tasks.store.releases import publish
from tasks.store.seal import SIGNATURE, TRUST, Seal, seal_of
from tasks.store.sign_release import sign_release
from tasks.workspace.errors import ExtraError, LineError, SpecError, StoreError
from tasks.workspace.paths import Workspace

pytest.importorskip("model_signing", reason="pip install inspectline[signing]")

ABOUT = About(algorithm="padim")
FILES = {"model.safetensors": b"weights", "fit.json": b"{}", ".gitignore": b"*", "a/b.csv": b"1,2"}


def key_pair(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """Files of a new private key and of its public one."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    lock = pem.BestAvailableEncryption(password) if password else pem.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, lock))
    form = pem.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem.Encoding.PEM, form))
    return private, public


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"), "line")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("keys"), "stranger")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "model"


def opened(tmp_path: Path, key: Path | None, *trust: Path) -> Store:
    store = open_store(tmp_path / "store")
    store.seal = Seal(key, None, trust)
    return store


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path], model: Path) -> tuple[Store, str, Path]:
    """A store that trusts the key, a release that it signed, and its folder in the store."""
    store = opened(tmp_path, *keys)
    release = publish(model, "cap", store, ABOUT)
    return store, release, tmp_path / "store" / folder_of("cap", release)


def test_a_signed_release_is_fetched_and_the_key_is_nowhere_in_it(signed, tmp_path, keys):
    store, release, _ = signed
    folder = fetch(store, "cap", release, tmp_path / "cache")
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    secret = keys[0].read_bytes().splitlines()[1]
    assert all(secret not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    os.rename(tmp_path / "store", tmp_path / "away")  # what is cached and signed needs no store
    assert fetch(store, "cap", release, tmp_path / "cache") == folder


def test_the_tool_of_openssf_verifies_a_release(signed, keys):
    folder = signed[2]
    words = ["-m", "model_signing", "verify", "key", str(folder), "--signature"]
    words += [str(folder / SIGNATURE), "--public_key", str(keys[1]), "--no-ignore-git-paths"]
    found = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def changed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def forged(path: Path) -> None:
    """The manifest with another figure: its list of files still gives the id."""
    path.write_text(path.read_text().replace('"about": {', '"about": {"test_set": "other", '))


SPOILT: dict[str, Callable[[Path], Any]] = {
    **{f"{name} changed": lambda f, n=name: changed(f / n) for name in (*FILES, SIGNATURE)},
    **{f"{name} gone": lambda f, n=name: (f / n).unlink() for name in (*FILES, SIGNATURE)},
    "manifest forged": lambda f: forged(f / MANIFEST),
    "file added": lambda f: (f / "more.py").write_text("import os"),
    "empty signature": lambda f: (f / SIGNATURE).write_text("{}"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_was_changed_in_the_store_is_refused_and_not_kept(signed, tmp_path, spoil):
    store, release, folder = signed
    spoil(folder)
    with pytest.raises(LineError, match=release):
        fetch(store, "cap", release, tmp_path / "cache")
    assert not (tmp_path / "cache" / "cap" / release).exists()


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_was_changed_in_the_cache_is_fetched_again(signed, tmp_path, spoil):
    store, release, _ = signed
    folder = fetch(store, "cap", release, tmp_path / "cache")
    spoil(folder)
    store.seal.check(fetch(store, "cap", release, tmp_path / "cache"), "cap", release, "")


def test_a_signature_of_another_key_is_refused(signed, tmp_path, stranger, model):
    _, release, folder = signed
    content = (folder / SIGNATURE).read_bytes()
    publish(model, "cap", opened(tmp_path, *stranger), ABOUT)  # it signs again: that is not its key
    assert (folder / SIGNATURE).read_bytes() != content
    with pytest.raises(StoreError, match=rf"{release} of cap is not used.*model\.sig.*line\.trust"):
        fetch(signed[0], "cap", release, tmp_path / "cache")
    assert fetch(opened(tmp_path, None, stranger[1]), "cap", release, tmp_path / "cache")


def test_a_release_of_another_product_is_refused(signed, tmp_path):
    store, release, folder = signed
    os.renames(folder, tmp_path / "store" / folder_of("plate", release))
    with pytest.raises(StoreError, match=r"is signed as .* of cap"):
        fetch(store, "plate", release, tmp_path / "cache")


def test_publishing_again_signs_what_was_not(tmp_path, keys, model):
    plain = publish(model, "cap", opened(tmp_path, None), ABOUT)
    store = opened(tmp_path, *keys)
    with pytest.raises(StoreError, match=r"holds no model\.sig"):
        fetch(store, "cap", plain, tmp_path / "cache")
    assert publish(model, "cap", store, ABOUT) == plain
    promote(store, "cap", plain, reason="new", by="anna")
    folder = fetch(store, "cap", None, tmp_path / "cache")
    before = (folder / SIGNATURE).read_bytes()
    publish(model, "cap", store, ABOUT)  # once more changes nothing
    signature = tmp_path / "store" / folder_of("cap", plain) / SIGNATURE
    assert signature.read_bytes() == before


def test_a_key_that_fails_leaves_a_release_as_it_was(tmp_path, model):
    plain = publish(model, "cap", opened(tmp_path, None), ABOUT)
    with pytest.raises(SpecError, match="there is no file"):
        publish(model, "cap", opened(tmp_path, tmp_path / "no.pem"), ABOUT)
    assert fetch(opened(tmp_path, None), "cap", plain, tmp_path / "cache")


def test_what_the_store_holds_is_signed_as_it_is_and_once(tmp_path, keys, model):
    plain = publish(model, "cap", opened(tmp_path, None), ABOUT)
    store = opened(tmp_path, *keys)
    manifest = (tmp_path / "store" / folder_of("cap", plain) / MANIFEST).read_bytes()
    assert sign_release(store, "cap", plain, tmp_path / "scratch")
    folder = fetch(store, "cap", plain, tmp_path / "cache")
    assert (folder / MANIFEST).read_bytes() == manifest
    assert not sign_release(store, "cap", plain, tmp_path / "scratch 2")
    (tmp_path / "store" / folder_of("cap", plain) / "fit.json").write_text("{ }")
    with pytest.raises(StoreError, match=r"fit\.json.*damaged"):
        sign_release(store, "cap", plain, tmp_path / "scratch 3")
    with pytest.raises(SpecError, match=r"line\.signing names no key"):
        sign_release(opened(tmp_path, None), "cap", plain, tmp_path)


def test_without_trust_nothing_is_asked(signed, tmp_path):
    _, release, folder = signed
    (folder / SIGNATURE).unlink()
    assert fetch(opened(tmp_path, None), "cap", release, tmp_path / "cache")


def workspace_with(root: Path, line: str) -> Workspace:
    (root / ".dvc").mkdir(parents=True)
    (root / "params.yaml").write_text(f"line: {line}")
    return Workspace(root)


def test_a_workspace_says_what_signs_and_whom_it_trusts(tmp_path, keys, monkeypatch):
    locked, public = key_pair(tmp_path, "locked", b"a pass phrase")
    monkeypatch.setenv("RELEASE_KEY", str(locked))
    monkeypatch.setenv("KEY_PASSWORD", "a pass phrase")
    said = "{signing: {key: $RELEASE_KEY, password: KEY_PASSWORD}, trust: [keys/line.pub]}"
    workspace = workspace_with(tmp_path / "ws", said)
    seal = store_of(workspace).seal
    assert (seal.key, seal.trust) == (locked, (workspace.root / "keys/line.pub",))
    assert "pass phrase" not in repr(seal)
    monkeypatch.setenv(TRUST, f"{keys[1]}{os.pathsep}{public}")
    assert seal_of(None).trust == (keys[1], public)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{signing: {key: release.pem}}", "lies in the workspace"),
        ("{signing: {key: $NOBODY_SET_IT}}", "has no NOBODY_SET_IT"),
        ("{signing: {key: /x.pem, password: NOBODY_SET_IT}}", "has no NOBODY_SET_IT"),
        ("{signing: {key: /no/such.pem}}", "openssl ecparam"),
        ("{signing: {key: /dev/null}}", "openssl ecparam"),
    ],
)
def test_a_key_that_cannot_sign_is_named(tmp_path, model, line, words):
    with pytest.raises(SpecError, match=words):
        publish(model, "cap", store_of(workspace_with(tmp_path / "ws", line)), ABOUT)


def test_a_file_that_is_no_key_is_not_shown(tmp_path, model):
    (tmp_path / "text.pem").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n")
    with pytest.raises(SpecError, match=r"no EC private key") as raised:
        publish(model, "cap", opened(tmp_path, tmp_path / "text.pem"), ABOUT)
    assert "c2VjcmV0" not in str(raised.value) and raised.value.__context__ is None


def test_what_is_signed_already_needs_a_key_that_signs_too(signed, tmp_path, keys, model):
    store = opened(tmp_path, keys[1])  # the public one by mistake
    with pytest.raises(SpecError, match=r"no EC private key"):
        publish(model, "cap", store, ABOUT)
    with pytest.raises(SpecError, match=r"no EC private key"):
        sign_release(store, "cap", signed[1], tmp_path / "scratch")


def test_predict_refuses_a_folder_that_is_not_signed(signed, tmp_path, keys, monkeypatch):
    from flows.cli import main

    monkeypatch.setenv(TRUST, str(keys[1]))
    (signed[2] / "fit.json").write_text("{ }")
    image = tmp_path / "a.png"
    image.touch()
    found = CliRunner().invoke(main, ["predict", str(signed[2]), str(image)])
    assert found.exit_code == 1
    assert "fit.json" in found.output and signed[1] in found.output


def test_a_missing_package_is_named_with_its_extra(signed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing.hashing", None)
    with pytest.raises(ExtraError, match=r"inspectline\[signing\]"):
        fetch(signed[0], "cap", signed[1], tmp_path / "cache")
