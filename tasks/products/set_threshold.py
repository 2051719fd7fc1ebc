"""Set the threshold in the spec of a product, with a record of who, when and why."""

from typing import Any

from tasks.build.graph import check_product, sync
from tasks.products.changing import (
    Content,
    edit_yaml_exactly,
    locked_for_change,
    one_line,
    write_change,
)
from tasks.spec.read import product_of, read_yaml
from tasks.spec.schema import Rule, ThresholdSpec
from tasks.workspace.errors import LineError, SpecError, hint
from tasks.workspace.paths import Workspace

GIVEN = ("policy", "value", "overkill", "miss", "confidence", "review")  # what may be set here


def set_threshold(
    workspace: Workspace,
    product: str,
    change: Content,
    *,
    by: str,
    reason: str,
    seen: str | None = None,
) -> Content:
    """Change the threshold; the record. It applies from the next run on.

    change: keys of the spec's threshold; a value alone means policy fixed. seen: version of
    product.yaml that the caller saw; ChangedError if it is different now.
    """
    workspace.require(product)
    by, reason, change = (
        one_line(by, "the name"),
        one_line(reason, "the reason"),
        complete_change(change),
    )
    path = workspace.product(product) / "product.yaml"
    with locked_for_change(workspace, path, seen):
        text, own = path.read_text(encoding="utf-8"), read_yaml(path)
        old = check_product(workspace, product).threshold
        rule = (own.get("threshold") or {}) | change
        if "policy" in change and change["policy"] != "fixed" and "value" not in change:
            rule.pop("value", None)  # it would look as if it were used
        expected = own | {"threshold": rule}
        spec = product_of(workspace.root, product, expected)
        new = _usable(spec.threshold, change)
        if new == old:
            raise LineError(f"the threshold of {product} already has these values")
        after = edit_yaml_exactly(text, expected, lambda spec: _enter(spec, rule), path)
        record = {"by": by, "reason": reason, "old": _as_json(old), "new": _as_json(new)}
        record |= {
            "what": f"{short_rule(old)} → {short_rule(new)}",
            "note": shared_value_note(new, list(spec.algorithms)),
        }
        written = write_change(workspace, product, "threshold", path, after, record)
        sync(workspace, [product])  # so that `dvc status` knows it at once
        return written


def complete_change(change: Content) -> Content:
    """The keys to set; SpecError for an unknown key."""
    for key in change:
        if key not in GIVEN:
            raise SpecError(f"threshold has no key '{key}' to set; {hint(key, GIVEN)}")
    if not change:
        raise SpecError(f"nothing to set; give one of {', '.join(GIVEN)}")
    return {"policy": "fixed", **change} if "value" in change else change


def _usable(threshold: ThresholdSpec, change: Content) -> ThresholdSpec:
    """The threshold; SpecError for a fixed rule without a value, or a value without a fixed
    rule."""
    for name, rule in (("threshold", threshold), ("threshold.review", threshold.review)):
        if rule and rule.policy == "fixed" and rule.value is None:
            raise SpecError(f"{name}.policy is fixed: give the raw score as its value")
    if change.get("value") is not None and threshold.policy != "fixed":
        raise SpecError(
            f"threshold.value decides only under policy fixed, and not under {threshold.policy}; "
            "give one of the two"
        )
    return threshold


def _enter(spec: Any, rule: Content) -> None:
    section = spec.get("threshold")
    if section is None:
        spec["threshold"] = rule
        return
    for key in set(section) - set(rule):
        del section[key]
    section.update(rule)


def shared_value_note(threshold: ThresholdSpec, algorithms: list[str]) -> str:
    """A warning for a raw score as threshold; empty if the product has only one algorithm."""
    if threshold.policy != "fixed" or len(algorithms) < 2:
        return ""
    return (
        f"{threshold.value:g} decides for all of {', '.join(algorithms)}, but their scores have "
        "different scales: a value for one may let all defects of another pass; keep the others "
        "out of the spec"
    )


def short_rule(rule: Rule) -> str:
    """A rule in a few words: its policy and parameters."""
    keys = {
        "auto": ("overkill",),
        "fixed": ("value",),
        "min_cost": ("overkill",),
        "normal_tail": ("overkill",),
        "normal_quantile": ("overkill",),
        "max_overkill": ("overkill", "confidence"),
        "max_miss": ("miss",),
    }
    parts = [f"{key} {getattr(rule, key, None):g}" for key in keys.get(rule.policy, ())]
    if isinstance(rule, ThresholdSpec) and rule.review:
        parts.append(f"review {short_rule(rule.review)}")
    return ", ".join([rule.policy, *parts])


def _as_json(threshold: ThresholdSpec) -> Content:
    return threshold.model_dump(mode="json")
