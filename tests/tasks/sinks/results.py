"""A result for tests."""

from tasks.documents.result import Result


def result(part: str, decision: str = "defect") -> Result:
    return Result(
        part=part,
        sha256=f"{part:0>64}",
        product="plate",
        release="0123456789abcdef",
        algorithm="padim",
        time="2026-05-04T03:02:01.000+00:00",
        decision=decision,
        score=1.5,
        threshold=1.0,
    )
