"""The lines of a run on a server that stays."""

import os
import subprocess
import sys

from flows.prefect_server.start import SETTINGS

CODE = """
import os
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.runtime import flow_run
from flows.prefect_server.run_log import RunLog

@flow
def line():
    with RunLog() as log:
        log("begun   fit cap padim")
        log("failed  fit cap padim (1.0 s): " + os.environ["STORE_SECRET"])
    return flow_run.id

RunLog()("outside of a flow it goes nowhere")
mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[line()]))
with get_client(sync_client=True) as client:
    for one in client.read_logs(mine):
        print(one.level, one.message)
"""


def test_lines_are_in_the_log_of_the_flow_run_though_prefect_is_silent(prefect, tmp_path):
    (tmp_path / "run.py").write_text(CODE)
    told = {"PREFECT_API_URL": prefect, "STORE_SECRET": "very-secret-word"}
    assert SETTINGS["PREFECT_LOGGING_LEVEL"] == "CRITICAL"
    command = [sys.executable, str(tmp_path / "run.py")]
    ended = subprocess.run(
        command, env=os.environ | SETTINGS | told, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    begun, failed = ended.stdout.splitlines()
    assert begun == "20 begun   fit cap padim"
    assert failed.startswith("40 failed  fit cap padim") and "very-secret" not in failed
