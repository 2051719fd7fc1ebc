"""The champion's pointer, and what the records of a product's changes have in common."""

from typing import ClassVar

from pydantic import Field

from tasks.documents.base import Document, Text
from tasks.documents.decision import Decision, Side
from tasks.documents.stored import Stored
from tasks.workspace.errors import LineError, StoreError


class Pointer(Stored):
    """Which release of a product is the champion, since when and why. The record of the change
    holds the same, and `time`."""

    remedy: ClassVar[str] = "delete it, then promote a release"

    kind: Text = Field(default="promote", description="promote, or rollback.")
    product: Text = Field(description="Name of the product.")
    release: Text = Field(description="Id of the champion's release.")
    algorithm: Text = Field(description="Name of its algorithm.")
    since: Text = Field(description="When it became the champion: UTC, ISO 8601.")
    by: Text = Field(default="", description="Who made it the champion.")
    reason: Text = Field(default="", description="Why.")
    previous: Text | None = Field(default=None, description="The champion before; null: none.")
    history: list[Text] = Field(
        default=[], description="Releases that one can go back to, the latest first."
    )
    record: Text = Field(description="Key of the record of this change in the store.")
    after: Text | None = Field(
        default=None, description="Key of the record of the change before this one; null: none."
    )
    decision: Decision | None = Field(
        default=None, description="The gate's decision; null where a person promoted it."
    )
    instead_of: Text | None = Field(
        default=None, description="Of a rollback: the release that was the champion."
    )


class ChangeRecord(Document):
    """Any record of a store: promote, rollback, refusal, threshold, correction, parameters."""

    error: ClassVar[type[LineError]] = StoreError
    remedy: ClassVar[str] = "delete it"

    kind: Text = Field(default="record", description="What was done.")
    after: Text | None = Field(
        default=None, description="Of a promotion or rollback: key of the one before; null: none."
    )
    time: Text = Field(default="", description="When: UTC, ISO 8601.")
    product: Text = Field(default="", description="Name of the product.")
    algorithm: Text = Field(default="", description="Of the release that the change is about.")
    release: Text = Field(default="", description="Id of that release.")
    challenger: Side | None = Field(default=None, description="Of a refusal.")
    what: Text = Field(default="", description="Of a change that is about no release.")
    by: Text = Field(default="", description="Who did it.")
    reason: Text = Field(default="", description="Why.")
    reasons: list[Text] = Field(default=[], description="Of a refusal: why.")
