import datetime
import random
from typing import Any, get_args

import pytest
import yaml

from tasks.spec.read import read_params, read_product
from tasks.spec.recipe import product_recipe
from tasks.spec.schema import Params, Rule, Section, Severity, ThresholdSpec, fields_at
from tasks.workspace.errors import SpecError


def test_critical_defects_may_not_be_missed_unless_the_spec_says_a_share():
    assert Severity().limits("critical").miss == 0
    assert Severity(critical={"min_area": 9}).limits("critical").miss == 0
    assert Severity(critical={"miss": 0.1}).limits("critical").miss == 0.1
    assert Severity().limits("major").miss is None


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Severity, {"critical": {"miss": None}}, "valid number"),
        (Severity, {"types": {"crack": "criticl"}}, "'critical', 'major', 'minor' or 'ignore'"),
        (Severity, {"types": {"good": "minor"}}, "names good, which is no defect"),
        (Rule, {"miss": 1.0}, "less than 1"),
        (Rule, {"value": float("inf")}, "finite"),
        (ThresholdSpec, {"review": {"polcy": "fixed"}}, "Extra inputs"),
    ],
)
def test_mistakes_are_refused(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(**values)


def test_keys_of_a_section_that_may_be_null():
    assert fields_at(ThresholdSpec, ["review"]) == ["policy", "overkill", "miss", "value"]
    assert fields_at(Severity, ["critical"]) == ["miss", "min_area"]
    assert "review" in fields_at(ThresholdSpec, [])


ODD: list[Any] = [
    *(None, True, -1, 0, 1, 1e308, float("inf"), float("nan"), 10**30, "", "x", "(a", [], [[]]),
    *({}, {1: 2}, [{}], [{"padim": {"dims": 3}}], [1], {"x": []}, {"padim": []}),
    *(
        datetime.date(2020, 1, 1),
        b"x",
        {"padim": {"preset": []}},
        {"unified_dinomaly": {"train_on": [1]}},
    ),
]


def places(kind, above=()):
    """Paths of all keys of a section, and of those inside it."""
    for name, field in kind.model_fields.items():
        yield (*above, name)
        for option in (field.annotation, *get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, Section):
                yield from places(option, (*above, name))


@pytest.mark.parametrize("section", Params.model_fields)
def test_any_value_at_any_key_is_taken_or_named(section, tmp_path):
    (tmp_path / "data" / "cap").mkdir(parents=True)
    for path in places(Params):
        chance = random.Random(".".join(path))
        for value in chance.sample(ODD, 8) if path[0] == section else ():
            content = value
            for key in reversed(path):
                content = {key: content}
            (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
            try:
                read_params(tmp_path)
                read_product(tmp_path, "cap")
                product_recipe(tmp_path, "cap")
            except SpecError as error:
                assert ".yaml" in str(error) or str(path[-1]) in str(error) or "padim" in str(error)
