"""Features that fits share in a folder."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ad_models import feature_folder
from ad_models.feature_folder import FeatureFolder
from ad_models.feature_store import Features, TemporaryFeatures

LARGE = 10**9


def features(seed=0, tiles=2):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(tiles, c, 6, 5, generator=generator) for c in (3, 4)]
    return Features(maps, (60, 50))


def same(one, other):
    assert one.shape == other.shape
    return all(torch.equal(a, b) for a, b in zip(one.maps, other.maps, strict=True))


def stores(folder):
    return [FeatureFolder(folder / "kept", LARGE), TemporaryFeatures(folder)]


def test_what_was_put_is_found_by_layer_and_image(tmp_path):
    for store in stores(tmp_path):
        store.put(["a", "b"], "one", features(1))
        store.put(["a", "b"], "two", features(2, tiles=1))
        assert same(store.get(["a", "b"], "one"), features(1))
        assert same(store.get(["a", "b"], "two"), features(2, tiles=1))
        assert torch.equal(store.get(["b"], "one").maps[0], features(1).maps[1])
        assert store.get(["a", "c"], "one") is None and store.get(["a"], "three") is None


def test_a_layer_that_is_missing_is_added(tmp_path):
    for store in stores(tmp_path):
        whole = features()
        store.put(["a"], "one", Features(whole.maps[:1], whole.shape))
        assert store.get(["a", "b"], "one") is None
        store.put(["a", "b"], "one", whole)
        assert same(store.get(["a", "b"], "one"), whole)


@pytest.mark.parametrize("damage", ["cut", "empty", "another"])
def test_a_damaged_file_is_written_again(tmp_path, damage):
    store = FeatureFolder(tmp_path, LARGE)
    store.put(["a", "b"], "one", features())
    path = tmp_path / "a" / "one.safetensors"
    content = path.read_bytes()
    damaged = {"cut": content[:-9], "empty": b"", "another": b"x" * 500}[damage]
    path.write_bytes(damaged)
    assert store.get(["a", "b"], "one") is None
    store.put(["a", "b"], "one", features())
    assert same(FeatureFolder(tmp_path, LARGE).get(["a", "b"], "one"), features())


def aged(folder, days):
    for path in folder.rglob("*.safetensors"):
        then = time.time() - 86400 * days[path.stem]
        os.utime(path, (then, then))


def names(folder):
    return {path.stem for path in folder.rglob("*.safetensors")}


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    store = FeatureFolder(tmp_path, LARGE)
    for name in ("old", "older", "new"):
        store.put(["a", "b"], name, features())
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) // 3
    aged(tmp_path, {"old": 2, "older": 3, "new": 1})
    store = FeatureFolder(tmp_path, 3 * size)
    store.put(["a", "b"], "newest", features())
    assert names(tmp_path) == {"old", "new", "newest"}
    aged(tmp_path, {"old": 2, "newest": 1, "new": 0})
    FeatureFolder(tmp_path, 2 * size)
    assert names(tmp_path) == {"new", "newest"}


def test_what_is_in_use_stays_and_the_rest_is_not_kept(tmp_path):
    store = FeatureFolder(tmp_path, 3 * sum(maps.nbytes for maps in features().maps))
    for number in range(6):
        store.put(["a", "b"], str(number), features(number))
    kept = names(tmp_path)
    assert kept == {"0", "1", "2"}
    assert all(same(store.get(["a", "b"], name), features(int(name))) for name in kept)


def test_without_space_nothing_is_kept_and_nothing_fails(tmp_path, monkeypatch):
    store = FeatureFolder(tmp_path / "none", 0)
    store.put(["a", "b"], "one", features())
    assert store.get(["a", "b"], "one") is None
    monkeypatch.setattr(feature_folder, "disk", lambda folder: None)  # a disk in memory
    assert FeatureFolder(tmp_path / "memory", LARGE).most == 0

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    store = FeatureFolder(tmp_path / "full", LARGE)
    monkeypatch.setattr(feature_folder, "save_file", full)
    store.put(["a", "b"], "one", features())
    assert store.most == 0 and not [*(tmp_path / "full").rglob("*.*")]


def test_stores_of_one_folder_may_write_at_the_same_time(tmp_path):
    shared = [FeatureFolder(tmp_path, LARGE) for _ in range(4)]

    def use(number):
        store, name = shared[number % 4], str(number // 4 % 5)
        found = store.get(["a", "b"], name)
        store.put(["a", "b"], name, features(int(name)))
        return found is None or same(found, features(int(name)))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(200)))
    assert len(names(tmp_path)) == 5 and not [*tmp_path.rglob("*.partial")]
