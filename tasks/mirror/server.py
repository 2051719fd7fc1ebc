"""The calls of MLflow's REST API (2.0) that a mirror needs.

https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tasks.workspace.errors import AwayError, StoreError
from tasks.workspace.secrets import without_password

URI = "MLFLOW_TRACKING_URI"
USER, PASSWORD, TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))
PATIENCE = httpx.Timeout(20.0, connect=3.0)  # seconds; a run must not wait for a server
AT_ONCE = 100  # parameters of a call
LONGEST = 500  # characters of a parameter, which every server takes
ABSENT, THERE = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


class MlflowServer:
    """A server; AwayError where it does not answer, StoreError where it refuses."""

    def __init__(self, client: httpx.Client, address: str) -> None:
        self.client, self.address = client, address

    def experiment(self, name: str) -> str:
        """The id of the experiment of this name, which is made where there is none."""
        known = self.get("experiments/get-by-name", {"experiment_name": name}, absent=True)
        if known:
            return str(known["experiment"]["experiment_id"])
        return str(self.post("experiments/create", {"name": name})["experiment_id"])

    def find_run(self, experiment: str, tag: str, value: str) -> str | None:
        """The id of the run with a tag; None without one."""
        asked = {"experiment_ids": [experiment], "filter": f"tags.`{tag}` = '{value}'"}
        runs = self.post("runs/search", {**asked, "max_results": 1}).get("runs") or []
        return str(runs[0]["info"]["run_id"]) if runs else None

    def log_run(
        self,
        experiment: str,
        name: str,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> str:
        """The id of a new run that holds all this and has ended. Its tags come last: a run without
        them was interrupted."""
        now = round(time.time() * 1000)
        asked = {"experiment_id": experiment, "run_name": name, "start_time": now}
        run = str(self.post("runs/create", asked)["run"]["info"]["run_id"])
        figures = [{"key": k, "value": v, "timestamp": now, "step": 0} for k, v in metrics.items()]
        self.post("runs/log-batch", {"run_id": run, "metrics": figures})
        given = [{"key": k, "value": v[:LONGEST]} for k, v in params.items()]
        for start in range(0, len(given), AT_ONCE):
            part = given[start : start + AT_ONCE]
            self.post("runs/log-batch", {"run_id": run, "params": part})
        self.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": now})
        self.post("runs/log-batch", {"run_id": run, "tags": _pairs(tags)})
        return run

    def version(self, model: str, tag: str, value: str) -> str | None:
        """The version of a registered model with a tag; None without one."""
        asked = {"filter": f"name='{model}'", "max_results": "200"}
        while True:
            found = self.get("model-versions/search", asked)
            for one in found.get("model_versions") or []:
                if {"key": tag, "value": value} in (one.get("tags") or []):
                    return str(one["version"])
            if not found.get("next_page_token"):
                return None
            asked["page_token"] = found["next_page_token"]

    def register(self, model: str, source: str, run: str, tags: Mapping[str, str]) -> str:
        """A new version of a registered model, which is made where there is none."""
        self.post("registered-models/create", {"name": model}, there=True)
        asked = {"name": model, "source": source, "run_id": run, "tags": _pairs(tags)}
        return str(self.post("model-versions/create", asked)["model_version"]["version"])

    def alias(self, model: str, name: str, version: str) -> None:
        """Have an alias of a registered model name this version."""
        asked = {"name": model, "alias": name, "version": version}
        self.post("registered-models/alias", asked)

    def get(self, path: str, asked: Mapping[str, str], absent: bool = False) -> dict[str, Any]:
        return self._call("GET", path, ABSENT if absent else "", params=asked)

    def post(self, path: str, asked: Any, there: bool = False) -> dict[str, Any]:
        return self._call("POST", path, THERE if there else "", json=asked)

    def _call(self, method: str, path: str, expected: str, **asked: Any) -> dict[str, Any]:
        """The answer; empty for the error that is expected."""
        try:
            answer = self.client.request(method, f"/api/2.0/mlflow/{path}", **asked)
            body = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise AwayError(f"MLflow at {self.address} does not answer: {error}") from error
        if not isinstance(body, dict) or answer.status_code >= 500:
            raise AwayError(f"MLflow at {self.address} cannot answer ({answer.status_code})")
        if answer.is_success:
            return body
        if expected and body.get("error_code") == expected:
            return {}
        said = body.get("message") or answer.reason_phrase
        raise StoreError(f"MLflow at {self.address} refuses {path} ({answer.status_code}): {said}")


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


@contextmanager
def connected(uri: str) -> Iterator[MlflowServer]:
    """The server at `http(s)://...`; its credentials come from the environment."""
    headers = {}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    auth = (user, password) if user and password else None
    with httpx.Client(base_url=uri, headers=headers, auth=auth, timeout=PATIENCE) as client:
        yield MlflowServer(client, without_password(uri))
