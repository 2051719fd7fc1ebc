"""The score above which a part is called defective, from images the fit never saw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks.decisions.policies import NEEDS_NORMALS, POLICIES, followed, of_good_images
from tasks.decisions.tail import FEWEST
from tasks.metrics.bounds import (
    expected_share,
    finite_scores,
    upper_limit,
    upper_limit_any_threshold,
)
from tasks.spec.schema import NEEDS_DEFECTS, Cost, Rule, ThresholdSpec
from tasks.workspace.errors import DataError

Scores = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what the calibration images say of it. Without images a share is None."""

    value: float | None  # raw score; a part is a defect where its score is greater
    asked: str  # policy
    used: str | None  # policy; None: there is no threshold
    normals: int = 0  # calibration images
    defects: int = 0
    overkill: float | None = None  # share of the calibration normals above the value
    overkill_bound: float | None = None  # expected share of new good parts rejected, at most
    overkill_upper: float | None = None  # share of them rejected, at most, with confidence
    miss: float | None = None  # share of the calibration defects not above the value
    miss_bound: float | None = None  # expected share of new defects that pass, at most
    miss_upper: float | None = None  # share of them that pass, at most, with confidence
    note: str = ""  # what a reader of the record should know


@dataclass(frozen=True)
class Limits:
    """Accepted up to `accept`, rejected above `reject`, looked at by a person in between."""

    accept: Threshold
    reject: Threshold  # the same where the spec asks for no review

    def classify(self, score: float) -> str:
        return classify_score(score, self.reject.value, self.accept.value)

    def record(self) -> dict[str, Any]:
        """Flat and fit for JSON: misses are what is accepted, overkill what is rejected."""
        notes = [self.reject.note] * bool(self.reject.note)
        if self.accept is not self.reject and self.accept.note:
            notes.append(f"accept threshold: {self.accept.note}")
        rejected, doubted = self.reject.overkill, self.accept.overkill  # the second holds both
        review = doubted - rejected if rejected is not None and doubted is not None else None
        return {
            "policy": self.reject.asked,
            "policy_used": self.reject.used,
            "threshold": self.reject.value,
            "review_policy": None if self.accept is self.reject else self.accept.used,
            "accept": self.accept.value,
            "calibration_images": self.reject.normals,
            "calibration_defects": self.reject.defects,
            "calibration_overkill": self.reject.overkill,
            "overkill_bound": self.reject.overkill_bound,
            "overkill_upper": self.reject.overkill_upper,
            "calibration_review": review,
            "calibration_miss": self.accept.miss,
            "miss_bound": self.accept.miss_bound,
            "miss_upper": self.accept.miss_upper,
            "note": "; ".join(notes),
        }


def choose_threshold(
    rule: Rule,
    normals: Scores,
    defects: Scores = (),
    min_defects: int = 5,
    confidence: float = 0.95,
    cost: Cost | None = None,
) -> Threshold:
    """The threshold of `rule`, given raw scores of held-out good and defective images.

    A policy that needs defects gives way to one of good images where there are fewer than
    `min_defects`, and the note says so.
    """
    good, bad = finite_scores(normals, "good"), finite_scores(defects, "defective")
    asked = followed(rule, len(good), len(bad))
    lack = lacking(asked, len(good), len(bad), min_defects)
    used = of_good_images(rule.overkill, len(good)) if lack else asked
    note = f"{lack}: {used} is used" if lack else ""
    found = Threshold(None, rule.policy, None, len(good), len(bad), note=note)
    if used in NEEDS_NORMALS and not len(good):
        return noted(found, "no good image was held out: too few to set a threshold")
    pick = POLICIES[used](rule, good, bad, cost or Cost(), confidence)
    used = pick.instead or used
    over, missed = int((good > pick.value).sum()), int((bad <= pick.value).sum())
    shares: dict[str, Any] = {
        **rates("overkill", over, max(over, pick.overkilled), len(good), used, confidence),
        **rates("miss", missed, max(missed, pick.missed), len(bad), used, confidence),
    }
    if pick.overkill_bound is not None:
        shares |= {"overkill_bound": pick.overkill_bound, "overkill_upper": pick.overkill_upper}
    return noted(replace(found, value=pick.value, used=used, **shares), pick.note)


def choose_limits(spec: ThresholdSpec, normals: Scores, defects: Scores = ()) -> Limits:
    """Both thresholds of a spec; one, with a note, where no band is left between them."""
    known = (normals, defects, spec.min_defects, spec.confidence, spec.cost)
    reject = choose_threshold(spec, *known)
    if spec.review is None or reject.value is None:
        return Limits(reject, reject)
    accept = choose_threshold(spec.review, *known)
    lack = lacking(spec.review.policy, len(normals), len(defects), spec.min_defects)
    if lack or accept.value is None:
        why = lack or accept.note
    elif accept.value > reject.value:
        why = f"the accept threshold {accept.value:.6g} lies above reject {reject.value:.6g}"
    else:
        return Limits(accept, reject)
    merged = noted(reject, f"no part is sent to review, one threshold serves for both: {why}")
    return Limits(merged, merged)


def lacking(policy: str, normals: int, defects: int, min_defects: int) -> str:
    """Why the policy cannot be followed, and the remedy; empty where it can."""
    if policy in NEEDS_DEFECTS and defects < min_defects:
        have = f"{policy} needs {min_defects} calibration defects and has {defects}"
        return f"{have} (raise threshold.calibration_defects or label more)"
    if policy == "min_cost" and not defects:
        return "min_cost needs a known defect and has none"
    if policy == "min_cost" and normals < FEWEST:
        return f"min_cost needs {FEWEST} good images that the fit did not see and has {normals}"
    if policy == "f1_max" and not normals:
        return "f1_max needs good images that the fit did not see"
    return ""


def rates(
    name: str, counted: int, allowed: int, n: int, used: str, confidence: float
) -> dict[str, float | None]:
    """Share of errors among n calibration images, and what it promises for new ones.

    allowed: errors the choice would have taken, which ties may undercut; it decides the promise.
    """
    if n == 0:
        return {}
    # these looked at every threshold: no single one's bound holds
    searched = used in ("f1_max", "min_cost")
    limit = upper_limit_any_threshold if searched else upper_limit
    return {
        name: counted / n,
        f"{name}_bound": None if searched else expected_share(allowed, n),
        f"{name}_upper": limit(allowed, n, confidence),
    }


def classify_score(score: float, reject: float | None, accept: float | None = None) -> str:
    """good, review or defect, on the raw score; empty where there is no threshold."""
    if math.isnan(score):  # it would compare as good
        raise DataError("the score is nan; the model gave no number for that image")
    if reject is None:
        return ""
    if score > reject:
        return "defect"
    return "review" if accept is not None and score > accept else "good"


def wrongness(score: float, label: str, threshold: float | None) -> float:
    """How far the score lies on the wrong side of the threshold; higher is worse."""
    above = score - (threshold or 0.0)
    return above if label == "good" else -above


def review_shares(decisions: Sequence[str], defective: Sequence[bool]) -> dict[str, float | None]:
    """Share of all, good and defective images that a person must look at; None without any."""
    sent, bad = np.array(decisions) == "review", np.array(defective, bool)
    parts = {"review": sent, "review_good": sent[~bad], "review_defective": sent[bad]}
    return {name: float(part.mean()) if part.size else None for name, part in parts.items()}


def noted(threshold: Threshold, note: str) -> Threshold:
    """The threshold with one more note."""
    return replace(threshold, note="; ".join(filter(None, (threshold.note, note))))
