"""What a run says of its stages, in the log of its flow run: only on a server that stays.

Prefect's own log is silent by our settings; these lines reach the server in its batches.
"""

import logging
from contextlib import AbstractContextManager
from typing import Any

from flows.prefect_server.start import named_server
from tasks.workspace.secrets import without_secrets

NAME = "inspectline.run"


class RunLog(AbstractContextManager):
    """Called with a line. Use as a context inside a flow; at its end all lines are on their way."""

    def __init__(self) -> None:
        self._logger: logging.Logger | None = None
        self._about: dict[str, Any] = {}

    def __enter__(self) -> "RunLog":
        from prefect.runtime import flow_run

        if named_server() and flow_run.id:
            self._logger, self._about = _logger(), {"flow_run_id": flow_run.id}
        return self

    def __exit__(self, *error: Any) -> None:
        for handler in self._logger.handlers if self._logger else ():
            handler.flush()

    def __call__(self, text: str) -> None:
        if self._logger:
            level = logging.ERROR if text.startswith("failed") else logging.INFO
            self._logger.log(level, without_secrets(text).strip(), extra=self._about)


def _logger() -> logging.Logger:
    """A logger of our own, so that no setting for Prefect's silences it."""
    from prefect.logging.handlers import APILogHandler

    found = logging.getLogger(NAME)
    found.propagate = False
    found.setLevel(logging.INFO)
    if not found.handlers:
        found.addHandler(APILogHandler())
    return found
