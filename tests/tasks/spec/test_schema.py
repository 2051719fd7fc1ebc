import pytest

from tasks.spec.schema import Rule, Severity, ThresholdSpec, fields_at


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
