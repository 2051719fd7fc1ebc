"""Images that are in a product more than once, exactly or nearly the same."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas


def content_leaks(frame: "pandas.DataFrame") -> dict[str, str]:
    """For each image outside training: an image of another split or label with the same bytes."""
    found = {}
    for _, group in readable_rows(frame).groupby("sha256", sort=False):
        if group[["split", "label"]].drop_duplicates().shape[0] < 2:
            continue
        first = group.iloc[0]
        train = group[group.split == "train"]
        twin = train.iloc[0] if len(train) else first
        for row in group[group.split != "train"].itertuples():
            if (row.split, row.label) != (twin.split, twin.label):
                found[str(row.path)] = str(twin.path)
    return found


def exact_duplicates(frame: "pandas.DataFrame") -> dict[str, str]:
    """For each image: an earlier image of the same split and label with the same bytes."""
    rows = readable_rows(frame)
    keys = ["split", "label", "sha256"]
    first = rows.groupby(keys)["path"].transform("first")
    return dict(zip(rows.path[rows.path != first], first[rows.path != first], strict=True))


def near_duplicates(
    frame: "pandas.DataFrame",
    thumbnails: dict[str, np.ndarray],
    bits: int,
    difference: float,
) -> dict[str, str]:
    """For each image: an earlier image with other bytes that shows nearly the same picture.

    dhash alone cannot distinguish aligned products: half of all pairs of MVTec's bottles agree
    within 2 bits. So thumbnails (32, 32) must also agree: mean `difference` in levels of 255.
    """
    rows = readable_rows(frame)
    rows = rows[rows.path.isin(list(thumbnails))]
    if rows.empty:
        return {}
    hashes = np.array([int(text, 16) for text in rows.dhash], dtype=np.uint64)
    flat = np.stack([255 * thumbnails[path].ravel() for path in rows.path])  # (N, 1024)
    means = flat.mean(axis=1)  # two means differ at most as much as their thumbnails
    paths, shas = list(rows.path), rows.sha256.to_numpy()
    found: dict[str, str] = {}
    for later in range(1, len(paths)):
        close = np.bitwise_count(hashes[:later] ^ hashes[later]) <= bits
        close &= np.abs(means[:later] - means[later]) < difference
        close &= shas[:later] != shas[later]
        others = np.flatnonzero(close)
        apart = np.abs(flat[others] - flat[later]).mean(axis=1)
        if len(others) and apart.min() < difference:
            found[paths[later]] = paths[others[apart.argmin()]]
    return found


def readable_rows(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    return frame[frame.error == ""]
