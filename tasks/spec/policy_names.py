"""Names of the policies that choose a threshold: apart, so that `--help` reads no schema."""

from typing import Literal

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
