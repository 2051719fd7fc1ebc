"""Facts about each public data set: source, licence, checksum and layout."""

from functools import cache
from pathlib import Path, PurePosixPath

from tasks.spec.read import check, read_yaml
from tasks.spec.schema import Section
from tasks.workspace.errors import DataError, hint

CATALOGUE = Path(__file__).with_name("sets.yaml")


class PublicSet(Section):
    title: str
    page: str  # the publisher's page with the download
    url: str | None
    file: str  # name of the archive
    sha256: str | None
    bytes: int | None = None  # of the archive
    images: int  # of all categories
    layout: str  # a function of arrival/public/layouts.py
    categories: list[str]
    spec: dict[str, str] = {}  # dotted keys of a product's spec
    licence: str
    terms: str
    citation: str

    def notice(self) -> str:
        """Licence and citation, for the person who must agree."""
        size = f", {self.bytes / 1e9:.1f} GB" if self.bytes else ""
        return (
            f"{self.title}: {self.images:,} images{size}, from {self.page}\n"
            f"licence: {self.licence} ({self.terms})\ncite: {self.citation}"
        )

    def wanted(self, categories: list[str]) -> list[str]:
        """The requested categories, by default all; DataError if the set does not have one of
        them."""
        for name in categories:
            if name not in self.categories:
                raise DataError(f"no category '{name}'; {hint(name, self.categories)}")
        return [name for name in self.categories if name in categories or not categories]

    def categories_in(self, path: PurePosixPath) -> set[str]:
        """The categories of this set that appear in a path."""
        return set(path.parts) & set(self.categories)


@cache
def catalogue() -> dict[str, PublicSet]:
    """All public sets by name."""
    return {name: check(PublicSet, one, CATALOGUE) for name, one in read_yaml(CATALOGUE).items()}


def product_name(name: str, category: str) -> str:
    """The product name for a category of the set `name`."""
    return category if category[0].isalpha() else f"{name}-{category}"
