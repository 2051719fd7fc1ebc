"""Signatures of releases in the format of OpenSSF (model-signing), with keys and without a network.

A signature stands over every file of a release and its manifest, so that no file can be changed,
added or taken away, and no release can pass for one of another product. `model_signing verify key`
checks it without this package.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.spec.read import read_params
from tasks.workspace.errors import LineError, SpecError, StoreError
from tasks.workspace.extras import require

SIGNATURE = "model.sig"  # beside the manifest; the name that the tools of OpenSSF expect
TRUST = "INSPECTLINE_TRUST"  # environment: files of public keys, where there is no workspace
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # those of the format
NEW_KEY = "`openssl ecparam -name prime256v1 -genkey -noout -out FILE` makes one"


@dataclass(frozen=True)
class Seal:
    """What a store signs with, and whose signatures it takes."""

    key: Path | None = None  # an EC private key in PEM; None: nothing is signed
    password: bytes | None = field(default=None, repr=False)  # of the key
    trust: tuple[Path, ...] = ()  # EC public keys in PEM; none: nothing is verified

    def sign(self, folder: Path) -> bytes:
        """The signature over all files of a release's folder."""
        self._public()  # or an error of the library shows what it found in the file
        made = folder / SIGNATURE
        config = (
            library()
            .signing.Config()
            .use_elliptic_key_signer(private_key=self.key, password=self.password)
        )
        config.set_hashing_config(hashing()).sign(folder, made)
        return made.read_bytes()

    def signed(self, folder: Path) -> bool:
        """Whether the signature in a release's folder is one of our own key."""
        if self.key is None or not (folder / SIGNATURE).is_file():
            return False
        with tempfile.TemporaryDirectory() as scratch:
            public = Path(scratch) / "public.pem"
            public.write_bytes(self._public())
            return not fault(folder, public)

    def check(self, folder: Path, product: str, release: str, where: str) -> None:
        """StoreError unless one of the trusted keys signed the folder, as this release of this
        product. Nothing is asked where no key is trusted."""
        if not self.trust:
            return
        if not (folder / SIGNATURE).is_file():
            raise untrusted(product, release, f"'{where}' holds no {SIGNATURE}")
        for public in self.trust:
            if not public.is_file():
                raise SpecError(f"line.trust: there is no public key '{public}'; put it there")
        faults = {public.name: fault(folder, public) for public in self.trust}
        if all(faults.values()):
            said = "; ".join(f"by {name}: {why}" for name, why in faults.items())
            raise untrusted(product, release, f"'{where}{SIGNATURE}' does not hold, {said}")
        manifest = Manifest.read(folder / MANIFEST)  # what it says is signed now
        if (manifest.product, manifest.release) != (product, release):
            named = f"{manifest.release} of {manifest.product}"
            raise untrusted(product, release, f"'{where}{MANIFEST}' is signed as {named}")

    def holds(self, folder: Path, product: str, release: str) -> bool:
        """As `check`, of a folder that may be damaged."""
        try:
            self.check(folder, product, release, "")
        except StoreError:
            return False
        return True

    def _public(self) -> bytes:
        """The public key of ours, in PEM; SpecError where the private one cannot be used."""
        library()  # which brings what follows
        from cryptography.hazmat.primitives import serialization as pem
        from cryptography.hazmat.primitives.asymmetric import ec

        if self.key is None or not self.key.is_file():
            raise SpecError(f"line.signing.key: there is no file '{self.key}'; {NEW_KEY}")
        try:
            private = pem.load_pem_private_key(self.key.read_bytes(), self.password)
        except (ValueError, TypeError):  # what they say may show a part of the key
            private = None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name not in CURVES:
            raise SpecError(
                f"line.signing.key: '{self.key}' is no EC private key in PEM (P-256, P-384 or "
                f"P-521) that line.signing.password opens; {NEW_KEY}"
            )
        form = pem.PublicFormat.SubjectPublicKeyInfo
        return private.public_key().public_bytes(pem.Encoding.PEM, form)


def untrusted(product: str, release: str, why: str) -> LineError:
    """The error for a release that nobody may use here."""
    return StoreError(
        f"release {release} of {product} is not used: {why}; `inspectline sign {product}` signs it "
        "where line.signing has the key, or have its signer's public key in line.trust"
    )


def fault(folder: Path, public: Path) -> str:
    """Why a public key does not verify the signature in a folder; empty where it does."""
    verifying = library().verifying
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a guess at the reason
            config = verifying.Config().use_elliptic_key_verifier(public_key=public)
            config.set_hashing_config(hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # whatever a forged signature brings up: it does not verify
        text = str(error).removeprefix("Signature mismatch: ").strip("[]\"' .")
        return text[:300] or "it is of another key, or changed"
    return ""


def hashing() -> Any:
    """How files are hashed: all of them, also what git would leave out, but for the signature."""
    config = library().hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def library() -> Any:
    """model_signing, which only those have who sign or verify; its import takes a second."""
    for part in ("hashing", "signing", "verifying"):
        require(f"model_signing.{part}")
    return require("model_signing")


@contextlib.contextmanager
def with_documents(folder: Path, documents: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with the same files, and some more: as a release stands in a store."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".seal-") as scratch:
        whole = Path(scratch) / "release"
        shutil.copytree(folder, whole, copy_function=_link)
        for name, content in documents.items():
            (whole / name).write_bytes(content)
        yield whole


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def seal_of(root: Path | None) -> Seal:
    """What params.yaml of a workspace and the environment say; None: the environment alone."""
    trust = [Path(one) for one in os.environ.get(TRUST, "").split(os.pathsep) if one]
    if root is None:
        return Seal(trust=tuple(trust))
    line = read_params(root).line
    trust += [root / one for one in line.trust]
    if line.signing is None:
        return Seal(trust=tuple(trust))
    name = line.signing.password
    password = os.environ.get(name) if name else None
    if name and password is None:
        raise SpecError(f"line.signing.password: the environment has no {name}; set it")
    key = key_file(root, line.signing.key)
    return Seal(key, password.encode() if password else None, tuple(trust))


def key_file(root: Path, named: str) -> Path:
    """The private key: a file, or one that a variable `$NAME` of the environment names.

    SpecError where it lies in the workspace: git would carry it to other machines.
    """
    path = named
    if named.startswith("$"):
        path = os.environ.get(named[1:], "")
        if not path:
            raise SpecError(
                f"line.signing.key: the environment has no {named[1:]}; set it to the key's file"
            )
    key = root / Path(path).expanduser()
    if key.resolve().is_relative_to(root.resolve()):
        raise SpecError(
            f"line.signing.key: '{named}' lies in the workspace, and git would carry it to others; "
            "keep it elsewhere, readable for you alone"
        )
    return key
