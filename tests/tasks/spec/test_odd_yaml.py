"""Whatever stands in a file that a person writes: values, or an error that names the file."""

import random
import string

import pytest
import yaml

from flows.new import read_table
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_params, read_product, read_yaml
from tasks.workspace.errors import LineError, SpecError
from tasks.workspace.yaml_text import FAST, parse_yaml

ODD = {
    "another encoding": b"\xff\xfe\x00d",
    "a key that is a number": b"1: 2\n",
    "a key that is a list": b"? [a, b]\n: c\n",
    "no mapping": b"- a\n",
    "a section that is a number": b"defaults: 3\n",
    "a section with a number for a key": b"defaults: {1: 2}\n",
    "a day that is none": b"defaults: {x: 2020-13-45}\n",
    "a number that is none": b'defaults: !!int "a"\n',
    "a date that is none": b"defaults: !!timestamp 3\n",
    "a tag": b"defaults: !!python/object/apply:os.system [ls]\n",
    "brackets without end": b"defaults: " + b"[" * 2000,
    "a byte of zero": b"\x00",
    "half a character": b'defaults: {"\\uD800": 1}',
    "a key twice": b"line: {}\ndefaults: {}\nline: {}\n",
    "a key twice, deeper": b"defaults: {image: {size: 1, size: 2}}\n",
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_file_is_named(case, tmp_path):
    (tmp_path / "data" / "cap").mkdir(parents=True)
    (tmp_path / "params.yaml").write_bytes(ODD[case])
    with pytest.raises(SpecError, match=r"params\.yaml"):
        read_params(tmp_path)
        read_product(tmp_path, "cap")
    (tmp_path / "corrections.yaml").write_bytes(ODD[case])
    with pytest.raises(SpecError, match=r"corrections\.yaml"):
        read_corrections(tmp_path / "corrections.yaml")
    for name in ("table.yaml", "table.csv"):
        (tmp_path / name).write_bytes(ODD[case])
        with pytest.raises(LineError, match="table"):
            read_table(tmp_path / name)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(SpecError, match=r"params\.yaml cannot be read"):
        read_params(tmp_path)


def test_a_key_twice_is_told_with_its_line_and_a_merge_is_none():
    with pytest.raises(SpecError, match="line 2: the key 'a' stands there twice"):
        parse_yaml("a: 1\na: 2\n", "file")
    merged = "x: &x {a: 1}\ny: &y {b: 2}\nz:\n  <<: *x\n  <<: *y\n  a: 3\n"
    assert parse_yaml(merged, "file")["z"] == {"a": 3, "b": 2}


@pytest.mark.parametrize("inwards", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_brackets_in_brackets_end_no_process(inwards):
    with pytest.raises(SpecError, match="brackets"):
        parse_yaml(inwards * 100_000, "file")
    assert parse_yaml("[[1, 2], [3]]\n" + "# [" * 500, "file") == [[1, 2], [3]]


def test_a_huge_value_is_shown_in_part(tmp_path):
    (tmp_path / "data" / "cap").mkdir(parents=True)
    lines = ["defaults:", "  algorithms:", "    a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 9):
        lines.append(f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    with pytest.raises(SpecError) as told:
        read_product(tmp_path, "cap")
    assert len(str(told.value)) < 5000


def test_a_cell_of_a_table_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "table.csv").write_text("name,folder,image.size\nnut,a,64\ncap,b,[\n")
    with pytest.raises(LineError, match=r"table\.csv, row 2, image\.size"):
        read_table(tmp_path / "table.csv")


PIECES = ["a", "1", ":", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "!!", "&x", "*x", "<<"]
PIECES += ["'", '"', "|", ">", "#", "?", "%", "@", "~", "null", ".nan", "0x", "1e9", "2020-01-01"]


@pytest.mark.parametrize("seed", range(4))
def test_any_text_is_a_value_or_an_error_of_ours(seed, tmp_path):
    chance = random.Random(seed)
    path = tmp_path / "any.yaml"
    for _ in range(150):
        words = chance.choices([*PIECES, *string.printable], k=chance.randint(1, 30))
        path.write_text("".join(words))
        try:
            found = read_yaml(path)
        except SpecError as error:
            assert str(path) in str(error)
        else:
            assert repr(found) == repr(yaml.load(path.read_text(), FAST) or {})  # of NaN too
        try:
            read_corrections(path)
        except SpecError as error:
            assert str(path) in str(error)
        try:
            read_table(path)
        except LineError as error:
            assert str(path) in str(error)
