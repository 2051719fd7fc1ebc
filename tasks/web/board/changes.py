"""Changes that a page may request, and the data for their forms. They use the same functions as the
command line; the record has the name of the user, or the one that the person gives."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Base64Bytes, Field, PrivateAttr

from tasks.products.changing import one_line, version_of
from tasks.products.correct import correct_label, folder_labels, keep_label, withdraw_label
from tasks.products.draw_mask import set_mask
from tasks.products.set_threshold import set_threshold
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_product
from tasks.spec.schema import Section
from tasks.store.champion import champion, promote, rollback
from tasks.store.opening import store_of
from tasks.web.board.users import Role
from tasks.workspace.paths import Workspace

JsonObject = dict[str, Any]
LARGEST = 65536  # largest body of a change, bytes


class Change(Section, ABC):
    """A change, with who makes it and why. role: what the person needs."""

    role: ClassVar[Role] = "label"
    largest: ClassVar[int] = LARGEST  # bytes of its body

    by: Annotated[str, Field(max_length=100)]
    reason: str

    _verified: bool = PrivateAttr(False)  # whether `by` is the name of a user with a token

    @property
    def who(self) -> str:
        """Of a name that is not verified the record says that it comes from the board."""
        return self.by if self._verified else f"{one_line(self.by, 'the name')} (board)"

    @abstractmethod
    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        """Make the change; its record. A LineError says why it was not made."""


class ThresholdChange(Change):
    role: ClassVar[Role] = "promote"

    change: dict[str, Any]  # keys of the spec's threshold
    seen: str  # version of the spec that the page showed

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        about: JsonObject = {"by": self.who, "reason": self.reason, "seen": self.seen}
        return set_threshold(workspace, product, self.change, **about)


class LabelChange(Change):
    image: str
    label: str
    new: bool = False
    seen: str  # label that the page showed

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        about: JsonObject = {
            "by": self.who,
            "reason": self.reason,
            "seen": self.seen,
            "new": self.new,
        }
        return correct_label(workspace, product, self.image, self.label, **about)


class KeepChange(Change):
    """The label is right, whatever the models say."""

    image: str
    seen: str  # label that the page showed

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        about = {"by": self.who, "reason": self.reason, "seen": self.seen}
        return keep_label(workspace, product, self.image, **about)


class WithdrawChange(KeepChange):
    """What was said of a label is taken back."""

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        about = {"by": self.who, "reason": self.reason, "seen": self.seen}
        return withdraw_label(workspace, product, self.image, **about)


class MaskChange(Change):
    """What a defect image shows of the defect, drawn by a person."""

    largest: ClassVar[int] = 16_000_000

    image: str
    mask: Base64Bytes  # a PNG of the image's size, bright where the defect is
    seen: str  # version of the mask that the page showed; empty: none

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        about: JsonObject = {"by": self.who, "reason": self.reason, "seen": self.seen}
        return set_mask(workspace, product, self.image, self.mask, **about)


class ChampionChange(Change):
    role: ClassVar[Role] = "promote"

    kind: Literal["promote", "rollback"]
    release: Annotated[str, Field(pattern="^([0-9a-f]{16})?$")] = ""  # to promote
    seen: str  # release that the page showed as champion; empty: none

    def carry_out(self, workspace: Workspace, product: str) -> JsonObject:
        workspace.require(product)
        store = store_of(workspace)
        reason = one_line(self.reason, "the reason")
        about: JsonObject = {"reason": reason, "by": self.who, "seen": self.seen}
        if self.kind == "promote":
            return promote(store, product, self.release, **about).dump()
        return rollback(store, product, **about).dump()


CHANGES: dict[str, type[Change]] = {
    "threshold": ThresholdChange,
    "label": LabelChange,
    "keep": KeepChange,
    "withdraw": WithdrawChange,
    "mask": MaskChange,
    "champion": ChampionChange,
}


def product_state(workspace: Workspace, product: str) -> JsonObject:
    """The data for the forms of a product, with the versions that a change must send as `seen`."""
    workspace.require(product)
    spec = version_of(workspace.product(product) / "product.yaml")
    current = champion(store_of(workspace), product)
    images = workspace.images(product)
    rows = folder_labels(images) if images.is_dir() else []  # a clone, before `dvc pull`
    corrections = read_corrections(workspace.corrections(product))
    return {
        "product": product,
        "spec": spec,
        "threshold": read_product(workspace.root, product).threshold.model_dump(mode="json"),
        "champion": current.release if current else "",
        "earlier": (current.history if current else [])[:1],
        "labels": sorted({row["label"] for row in rows} | {"good"}),
        "corrections": {one.path: one.entry.model_dump() for one in corrections},
    }
