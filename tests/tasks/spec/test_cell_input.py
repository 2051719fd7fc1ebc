"""Size of images and batches of a cell: the nearest word counts."""

import pytest

from tasks.spec.cell_input import cell_input
from tasks.spec.parameters import algorithm_parameters, preset_named, shared_parameters
from tasks.spec.read import read_params, read_product
from tasks.spec.recipe import product_recipe, shared_recipe
from tasks.workspace.errors import SpecError

PRESETS = """
defaults: {image: {size: 96}, training: {batch_size: 6}}
algorithms: {padim: {preset: wide}, regad: {preset: wide}, vae: {preset: wide, image: {size: 80}}}
presets:
  wide:
    padim: {dims: 10, image: {size: 128}, training: {batch_size: 2}}
    regad: {epochs: 5, image: {size: [64, 32]}, training: {batch_size: 9}}
    vae: {image: {size: 72}}
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(PRESETS)
    return tmp_path


def product(root, text="", name="nut"):
    folder = root / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product.yaml").write_text(text)


def found(root, algorithm="padim"):
    image, training = cell_input(root, "nut", algorithm)
    return image.size, training.batch_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ((128, 128), 2)),
        ("algorithms: {padim: {dims: 3}}", ((128, 128), 2)),
        ("algorithms: {padim: {preset: paper}}", ((96, 96), 6)),
        ("image: {size: 48}", ((48, 48), 2)),
        ("image: {size: 96}", ((96, 96), 2)),
        ("training: {batch_size: 3}", ((128, 128), 3)),
        ("image: {size: 48}\nalgorithms: {padim: {image: {size: [40, 56]}}}", ((40, 56), 2)),
        (
            "training: {batch_size: 3}\nalgorithms: {padim: {training: {batch_size: 1}}}",
            ((128, 128), 1),
        ),
        ("image: {color: grey}", ((128, 128), 2)),
        ("image: {size: 96, tile: 32}", ((96, 96), 2)),
        ("image: {tile: 32}", ((96, 96), 2)),
        ("image: {tile: 32}\nalgorithms: {padim: {image: {size: 160}}}", ((160, 160), 2)),
    ],
)
def test_the_nearest_word_decides(root, text, expected):
    product(root, text)
    assert found(root) == expected


def test_params_yaml_beside_an_algorithm_lies_over_the_preset(root):
    product(root)
    assert found(root, "vae") == ((80, 80), 6)
    product(root, "algorithms: {vae: {preset: wide}}")
    assert found(root, "vae") == ((72, 72), 6)


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 64), ("image: {size: 48}", 48), ("image: {tile: 32}", 256), ("algorithms: [padim]", 256)],
)
def test_algorithms_of_the_defaults_give_way_to_product_yaml(root, text, size):
    asked = "{padim: {image: {size: 64}}}"
    (root / "params.yaml").write_text(f"defaults: {{algorithms: {asked}}}")
    product(root, text)
    assert found(root) == ((size, size), 16)


def test_the_preset_that_is_named(root):
    product(root, "algorithms: {padim: {dims: 3}, vae: {preset: paper}, fcdd: {}}")
    found = [preset_named(root, "nut", name) for name in ("padim", "vae", "fcdd", "regad")]
    assert found == ["wide", "paper", "paper", "wide"]


def test_a_recipe_has_them_and_parameters_do_not(root):
    product(root, "algorithms: {padim: {}, patchcore: {}}")
    recipe = product_recipe(root, "nut")["fit"]
    assert algorithm_parameters(root, "nut", "padim") == {"dims": 10}
    assert recipe["padim"]["parameters"] == {"dims": 10}
    assert recipe["padim"]["image"]["size"] == [128, 128]
    assert recipe["padim"]["training"]["batch_size"] == 2
    assert recipe["patchcore"]["image"] == recipe["padim"]["image"] | {"size": [96, 96]}
    assert recipe["patchcore"]["training"] == recipe["padim"]["training"] | {"batch_size": 6}
    keys = ["parameters", "image", "training"]  # cells made before are not stale
    assert list(recipe["patchcore"]) == keys == list(recipe["padim"])


def test_what_products_share_has_them_too(root):
    product(root, "algorithms: {regad: {}}")
    product(root, "image: {size: 32}", "pin")
    recipe = shared_recipe(root, "regad", ["nut", "pin"])
    assert shared_parameters(root, "regad") == recipe["parameters"] == {"epochs": 5}
    assert recipe["batch_size"] == 9
    sizes = {name: one["image"]["size"] for name, one in recipe["products"].items()}
    assert sizes == {"nut": [64, 32], "pin": [32, 32]}
    product(root, "image: {size: 32}\nalgorithms: {regad: {image: {size: [64, 32]}}}", "pin")
    assert shared_recipe(root, "regad", ["pin"])["products"]["pin"]["image"]["size"] == [64, 32]
    product(root, "algorithms: {regad: {training: {batch_size: 3}}}")
    with pytest.raises(SpecError, match=r"'training' of regad, .*sigma and image\.size can be"):
        algorithm_parameters(root, "nut", "regad")


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        ("image: {roi: [0, 0, 9, 9]}", "padim.image must say size: write `image: {size: ...}`"),
        ("image: 64", "padim.image must say size"),
        (
            "image: {size: 64, tile: 32}",
            "padim.image.tile cannot be an algorithm's own, only image.size and "
            "training.batch_size can; say image.tile of the product",
        ),
        ("training: {batch_size: 4, folds: 2}", "padim.training.folds cannot be"),
        ("training: {batch_size: 0}", "padim.training.batch_size: input should be greater"),
        ("image: {size: 8}", "padim.image.size: input should be greater than or equal to 32"),
        ("images: {size: 64}", "padim has no parameter 'images'; did you mean 'image'"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(root, mine, words):
    product(root, f"algorithms: {{padim: {{{mine}}}}}")
    with pytest.raises(SpecError) as error:
        read_product(root, "nut")
    assert words in str(error.value) and "product.yaml" in str(error.value)


def test_a_preset_is_checked_alike(root):
    (root / "params.yaml").write_text("presets: {wide: {padim: {training: {folds: 2}}}}")
    with pytest.raises(SpecError, match=r"padim\.training must say batch_size"):
        read_params(root)


def test_a_size_below_the_tile_is_refused(root):
    product(root, "image: {tile: 64}\nalgorithms: {padim: {image: {size: 48}}}")
    with pytest.raises(SpecError, match=r"image\.tile is 64, but image.size is only"):
        found(root)
