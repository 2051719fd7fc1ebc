"""Names that are safe as folders, file names and keys, and the nearest allowed one."""

import re
import unicodedata

from tasks.workspace.errors import DataError

LONGEST = 64  # characters of a product's name
ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)  # by Windows


def check_product_name(name: str) -> str:
    """The name; DataError with a corrected one where it cannot name a folder everywhere."""
    if usable(name):
        return name
    raise DataError(
        f"{name!r} cannot name a product; use at most {LONGEST} letters a-z, digits, '-' and '_', "
        f"and no name that Windows reserves: for example {corrected(name)!r}"
    )


def usable(name: str) -> bool:
    """Whether it can name a product: a folder everywhere, a key, a word of a command."""
    return bool(ALLOWED.fullmatch(name) and len(name) <= LONGEST and not RESERVED.fullmatch(name))


def corrected(name: str) -> str:
    """The nearest name that is allowed."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:LONGEST] or "product"
    return f"{plain}-1" if RESERVED.fullmatch(plain) else plain


def valid_name(product: str) -> str:
    """The product's name, if it can stand in a key."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", product):
        raise DataError(f"'{product}' is no product name; use up to 64 letters, digits, _ and -")
    return product


def safe_name(text: str) -> str:
    """`text` with everything that file names and Prefect keys refuse turned into dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


GROUP = "part"  # of a pattern for names of images: what it finds is the id of the part


def part_pattern(text: str) -> re.Pattern[str]:
    """The pattern that finds a part id in the name of a file; DataError where it cannot."""
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise DataError(f"'{text}' is no regular expression ({error})") from None
    if GROUP not in pattern.groupindex:
        raise DataError(f"'{text}' names no part; write (?P<{GROUP}>...) around what is the id")
    return pattern
