"""Names of the policies that choose a threshold, and of the scores that it is compared with: apart,
so that `--help` reads no schema."""

from typing import Literal, get_args

PolicyName = Literal[
    "auto",
    "normal_quantile",
    "normal_tail",
    "max_overkill",
    "min_cost",
    "max_miss",
    "f1_max",
    "fixed",
]
ScoreRule = Literal["model", "max", "top"]
SCORE_RULES: tuple[ScoreRule, ...] = get_args(ScoreRule)
