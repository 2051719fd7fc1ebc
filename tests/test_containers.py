"""The files for containers name what is there: no machine with Docker is needed to see that."""

import re
import shlex
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from flows.cli import main
from tasks.spec.schema import Params

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "deploy"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OURS = ("line", "board", "worker", "serve")


def instructions(stage: str) -> list[tuple[str, str]]:
    """What a stage of the Dockerfile says, as (word, rest)."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    parts = re.split(r"^FROM \S+ AS (\S+)$", joined, flags=re.M)
    stages = dict(zip(parts[1::2], parts[2::2], strict=True))
    lines = [line for line in stages[stage].splitlines() if line and not line.startswith("#")]
    return [(line.split(" ")[0], line.partition(" ")[2]) for line in lines]


def manifests() -> list[dict]:
    files = sorted((FOLDER / "kubernetes").glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    return [one for one in found if one["kind"] != "Kustomization"]


def check_command(words: list[str]) -> None:
    """A call of ours: the command is there, and its options too."""
    words = words[1:] if words[0] == "inspectline" else words
    if words[0] == "--workspace":
        words = words[2:]
    command = main.commands[words[0]]
    known = {option for one in command.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= known, words


def test_what_is_copied_is_there_and_reaches_the_build():
    sent = (FOLDER / "Dockerfile.dockerignore").read_text()
    sources = [
        name
        for word, rest in instructions("packages")
        if word == "COPY"
        for name in rest.split()[:-1]
    ]
    assert {"requirements.lock", "tasks", "flows", "ad_models"} <= set(sources)
    for name in sources:
        assert (ROOT / name).exists() and f"!{name}\n" in sent, name


def test_extras_of_the_images_are_those_of_the_package():
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r'--constraint requirements\.lock "\.\[(.+?)\]"', DOCKERFILE)
    assert len(asked) == 2
    for extras in asked:
        assert set(extras.split(",")) <= set(known)


@pytest.mark.parametrize("stage", ["serve", "line", "worker"])
def test_an_image_runs_as_a_user_who_is_not_root(stage):
    said = instructions(stage)
    users = [rest for word, rest in said if word == "USER"]
    assert users[-1] == "10001:10001"
    last = max(at for at, (word, _) in enumerate(said) if word == "USER")
    assert not any(word in ("RUN", "COPY") for word, _ in said[last:])


def test_the_commands_of_images_and_services_are_ours():
    for stage in ("serve", "worker"):
        [command] = [rest for word, rest in instructions(stage) if word == "CMD"]
        words = yaml.safe_load(command)
        check_command([word for word in words if word != "--help"])
    for name in ("board", "worker", "serve"):
        check_command(COMPOSE["services"][name]["command"])
    health = [rest for word, rest in instructions("serve") if word == "HEALTHCHECK"]
    assert "/healthz" in health[0]
    [serve] = [one for one in manifests() if one["metadata"]["name"] == "serve" and spec_of(one)]
    check_command(spec_of(serve)["containers"][0]["args"])


def test_services_are_hardened_and_their_images_pinned():
    declared = set(COMPOSE["volumes"])
    for name, service in COMPOSE["services"].items():
        image = re.sub(r"\$\{\w+:-(.+)\}", r"\1", service["image"])
        assert name in OURS or re.search(r":[\w.-]*\d", image), image
        assert not image.endswith(":latest") and not service.get("privileged")
        used = {one.split(":")[0] for one in service.get("volumes", [])}
        assert used <= declared, name
        for other, how in service.get("depends_on", {}).items():
            healthy = "healthcheck" in COMPOSE["services"][other]
            assert healthy and how == {"condition": "service_healthy"}
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    for service in COMPOSE["services"].values():
        if "build" in service:
            assert re.search(rf"AS {service['build']['target']}$", DOCKERFILE, re.M)


def test_no_secret_has_a_value_and_each_variable_is_in_the_example():
    text = (FOLDER / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+)(?::\?[^}]*)?\}", text))
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / "example.env").read_text(), re.M))
    assert used == set(example)
    secret = [value for name, value in example.items() if re.search("PASSWORD|TOKEN", name)]
    assert secret and not any(secret)


def test_prefect_is_the_version_of_the_lock_everywhere():
    texts = [
        (FOLDER / "compose.yaml").read_text(),
        (FOLDER / "kubernetes/workers.yaml").read_text(),
    ]
    for text in texts:
        [tag] = re.findall(r"prefecthq/prefect:([\d.]+)-", text)
        assert tag == version("prefect")
    assert f"prefect=={version('prefect')} " in (ROOT / "requirements.lock").read_text()


def spec_of(manifest: dict) -> dict:
    """The specification of a manifest's pods; empty where it has none."""
    return manifest.get("spec", {}).get("template", {}).get("spec", {})


def test_pods_are_hardened_and_name_what_is_there():
    known = manifests()
    accounts = {one["metadata"]["name"] for one in known if one["kind"] == "ServiceAccount"}
    pods = [(one, spec) for one in known if (spec := spec_of(one))]
    assert {one["metadata"]["name"] for one, _ in pods} == {"serve", "prefect-worker"}
    docs = (ROOT / "docs" / "deployment.md").read_text()
    for one, spec in pods:
        assert (
            one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
        )
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"]
        assert spec.get("serviceAccountName", "prefect-worker") in accounts
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]} and container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            for source in container["envFrom"]:
                assert f"secret generic {source['secretRef']['name']} " in docs
    [service] = [one for one in known if one["kind"] == "Service"]
    assert service["spec"]["selector"] == {"app": "serve"}


def test_the_pool_that_the_manifest_shows_is_one_that_params_may_name():
    text = (FOLDER / "kubernetes/workers.yaml").read_text()
    shown = re.search(r"^#   (line: .*?)^apiVersion", text, re.M | re.S)
    assert shown is not None
    said = yaml.safe_load(re.sub(r"^# ", "", shown[1], flags=re.M))
    workers = Params(**said).line.workers
    assert workers and workers.pool.type == "kubernetes" and workers.patience == 900
    assert f"--pool, {workers.pool.name}]" in text
    accounts = [one["metadata"]["name"] for one in manifests() if one["kind"] == "ServiceAccount"]
    assert workers.pool.job["service_account_name"] in accounts


@pytest.mark.parametrize("tool", ["kubectl", "hadolint"])
def test_tools_of_others_have_nothing_to_say(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on the PATH")
    words = {
        "kubectl": f"kubectl kustomize {shlex.quote(str(FOLDER / 'kubernetes'))}",
        "hadolint": f"hadolint --failure-threshold error {shlex.quote(str(FOLDER / 'Dockerfile'))}",
    }
    done = subprocess.run(shlex.split(words[tool]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if tool == "kubectl":
        assert len(list(yaml.safe_load_all(done.stdout))) == len(manifests())
