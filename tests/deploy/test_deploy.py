"""deploy/kubernetes fits the code, and what is wrong there is found."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft7Validator

from services.common import key_files
from tests.deploy import checks, contract, manifests, tools
from tests.deploy.manifests import Manifests

DEPLOY: Final = tools.ROOT / "deploy"
CHART: Final = DEPLOY / manifests.CHART


@pytest.fixture(scope="module")
def left_out() -> list[str]:
    return tools.install()


@pytest.fixture(scope="module")
def helm(left_out: list[str]) -> None:
    if not tools.HELM.exists():
        pytest.skip("; ".join(left_out))


@pytest.fixture(scope="module")
def kubectl(left_out: list[str]) -> Path:
    if not tools.KUBECTL.exists():
        pytest.skip("; ".join(left_out))
    return tools.KUBECTL


@pytest.fixture(scope="module")
def base(left_out: list[str]) -> str:
    return manifests.base_file(DEPLOY).read_text()


@pytest.fixture(scope="module")
def with_relay(helm: None) -> str:
    given = ("--set=nats.ca=true", "--set=nats.credentials=true")
    return manifests.render(DEPLOY, "standard", manifests.WITH_RELAY, *given)


def test_the_base_fits_the_code(base: str) -> None:
    assert checks.check(DEPLOY, Manifests.of("base", base)) == []


@pytest.mark.usefixtures("helm")
def test_the_chart_fits_the_code_in_each_size_and_makes_the_base() -> None:
    assert checks.check_chart(DEPLOY) == []


@pytest.mark.usefixtures("kubectl")
def test_kustomize_builds_the_base() -> None:
    assert checks.check_kustomize(DEPLOY) == []


@pytest.mark.usefixtures("kubectl")
def test_kustomize_builds_the_relay_beside_the_base(tmp_path: Path) -> None:
    for name in (manifests.BASE, manifests.RELAY):
        shutil.copytree(DEPLOY / name, tmp_path / Path(name).name)
    content = "resources: [base]\ncomponents: [relay]\n"
    (tmp_path / "kustomization.yaml").write_text(content)
    built = Manifests.of("relay", manifests.kustomize(tmp_path))
    assert checks.check(DEPLOY, built) == []
    assert built.named("Deployment", "lockstep-relay") is not None


@pytest.mark.usefixtures("kubectl")
def test_the_folder_of_the_readme_sets_the_image_and_the_namespace(tmp_path: Path) -> None:
    page = (DEPLOY / "kubernetes" / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(resources:.*?)```", page, re.DOTALL)
    shutil.copytree(DEPLOY / manifests.BASE, tmp_path / "deploy" / manifests.BASE)
    folder = tmp_path / "shops" / "mine"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(example)
    built = Manifests.of("mine", manifests.kustomize(folder))
    images = {container["image"] for _, _, container in built.containers()}
    assert images == {"registry.example.com/lockstep:0.2.0"}
    assert {each["metadata"]["namespace"] for each in built.objects} == {"shop"}


# What is wrong in a copy of the base, and what the finding must name.
MISTAKES: Final[Mapping[str, tuple[str, str, str]]] = {
    "port": ("containerPort: 50052", "containerPort: 50062", "its ports must be"),
    "port of a Service": ("name: rpc, port: 50051", "name: rpc, port: 50061", "its port must be"),
    "name of a port": ("targetPort: rpc", "targetPort: grpc", "the pods must have a port grpc"),
    "port of a call": ("lockstep-auth:50051", "lockstep-auth:50052", "where nothing listens"),
    "called Service": ("dns:///lockstep-auth:", "dns:///lockstep-outh:", "such a Service"),
    "own port": (
        '- {name: LOCKSTEP_CURRENCY, value: "USD"}',
        '- {name: LOCKSTEP_AUTH_PORT, value: "50061"}',
        "its ports must be",
    ),
    "Secret": ("secretName: lockstep-auth-keys", "secretName: lockstep-auth-key", "auth-key"),
    "key of a Secret": ("key: url, path: url", "key: uri, path: url", "must have the key uri"),
    "path of a Secret": ("mountPath: /run/secrets/smtp", "mountPath: /run/secrets/mail", "smtp"),
    "keys of another": (
        "secretName: lockstep-profile-keys",
        "secretName: lockstep-auth-keys",
        "/data/keys/profile",
    ),
    "mode of a Secret": ("defaultMode: 0440", "defaultMode: 0444", "the mode 0440"),
    "path of a probe": ("path: /readyz", "path: /ready", "its readinessProbe must ask"),
    "port of a probe": (
        "{path: /livez, port: management}",
        "{path: /livez, port: rpc}",
        "its startupProbe must ask",
    ),
    "period of a probe": (
        "port: management}, periodSeconds: 2",
        "port: management}, periodSeconds: 5",
        "its readiness must be seen within",
    ),
    "setting": ("name: LOCKSTEP_TLS_CERT", "name: LOCKSTEP_TLS_CRT", "must be a setting"),
    "value of a setting": (
        'name: LOCKSTEP_TLS, value: "mutual"',
        'name: LOCKSTEP_TLS, value: "both"',
        "LOCKSTEP_TLS",
    ),
    "grace": ("terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 20", "to stop"),
    "command": ("services.commerce]", "services.comerce]", "the command must be"),
    "image": ("image: lockstep:0.2.0", "image: lockstep:0.1.0", "must have the tag"),
    "user": ("runAsUser: 10001", "runAsUser: 0", "must run as the user"),
    "member": ("terminationGracePeriodSeconds", "terminationGraceSeconds", "Kubernetes 1."),
    "member of a custom resource": ("databaseReclaimPolicy", "reclaimPolicy", "its CRD"),
    "policy": (
        "app.kubernetes.io/component: commerce}}\n        - podSelector",
        "app.kubernetes.io/component: mail}}\n        - podSelector",
        "must be open for",
    ),
    "certificate": ("dnsNames: [auth]", "dnsNames: [lockstep-auth]", "must have the name auth"),
    "database": ("name: commercedb", "name: shopdb", "the databases must be"),
    "encoding": (
        "  encoding: UTF8\n  localeProvider",
        "  encoding: LATIN1\n  localeProvider",
        "UTF8",
    ),
    "hba": ("hostssl authdb auth,", "hostssl all auth,", "pg_hba must let auth"),
    "connections": ('max_connections: "400"', 'max_connections: "100"', "must fit into 80"),
    "replication": ("dataDurability: required", "dataDurability: preferred", "synchronous"),
    "metric": ("lockstep_calls_per_second", "lockstep_rpcs_per_second", "must make the metric"),
    "job": ("lockstep.dev/job: lockstep-auth", "lockstep.dev/job: auth", "metrics of each process"),
    "alert": ("lockstep_saga_due_age_seconds", "lockstep_saga_age_seconds", "must be those of"),
}


def finds(text: str, right: str, wrong: str, told: str) -> None:
    """Expect that a mistake is found in a copy of manifests."""
    assert right in text
    found = checks.check(DEPLOY, Manifests.of("copy", text.replace(right, wrong)))
    assert [each for each in found if told in each], found


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_copy_is_found(base: str, left_out: list[str], name: str) -> None:
    right, wrong, told = MISTAKES[name]
    if told.startswith("Kubernetes") and not tools.SCHEMAS.exists():
        pytest.skip("; ".join(left_out))
    finds(base, right, wrong, told)


RELAY_MISTAKES: Final[Mapping[str, tuple[str, str, str]]] = {
    "port": ("containerPort: 9055", "containerPort: 9056", "its ports must be"),
    "command": ("services.relay]", "services.relays]", "the command must be"),
    "keys": ("secretName: lockstep-relay-keys", "secretName: lockstep-auth-keys", "data/keys"),
    "way to NATS": ("ports: [{port: 4222}]", "ports: [{port: 4223}]", "let out to NATS"),
    "address": ("dns:///lockstep-profile:50052", "dns:///lockstep-profile:50053", "listens"),
    "credentials": ("key: relay.creds", "key: relay.cred", "must have the key relay.cred"),
}


@pytest.mark.parametrize("name", RELAY_MISTAKES)
def test_a_mistake_about_the_relay_is_found(with_relay: str, name: str) -> None:
    finds(with_relay, *RELAY_MISTAKES[name])


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("to", [None, [{"ipBlock": {"cidr": "192.0.2.7/32"}}]])
def test_a_relay_finds_nats_where_it_is_told_and_anywhere_if_it_is_not(
    to: list[object] | None,
) -> None:
    given = [] if to is None else [f"--set-json=nats.to={json.dumps(to)}"]
    text = manifests.render(DEPLOY, "standard", manifests.WITH_RELAY, *given)
    policy = Manifests.of("own", text).named("NetworkPolicy", "lockstep-relay-nats")
    assert policy is not None
    (rule,) = policy["spec"]["egress"]
    assert rule == {"ports": [{"port": 4222}]} | ({} if to is None else {"to": to})


@pytest.mark.usefixtures("helm")
def test_nobody_reaches_the_port_of_nats_without_a_relay() -> None:
    assert "4222" not in manifests.render(DEPLOY, "standard")


@pytest.mark.usefixtures("helm")
def test_webhooks_may_have_other_ports() -> None:
    text = manifests.render(DEPLOY, "standard", "--set=network.webhookPorts={443,8443}")
    policy = Manifests.of("own", text).named("NetworkPolicy", "lockstep-auth")
    assert policy is not None
    (ports,) = (each["ports"] for each in policy["spec"]["egress"] if "ipBlock" in str(each))
    assert ports == [{"port": 443}, {"port": 8443}]


@pytest.mark.usefixtures("helm")
def test_a_mistake_in_a_copy_of_the_chart_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, copy)
    helpers = copy / manifests.CHART / "templates" / "_helpers.tpl"
    helpers.write_text(helpers.read_text().replace("rpc: 50052", "rpc: 50062"))
    found = checks.check_chart(copy)
    assert any("its ports must be" in each for each in found)
    assert any("run `make deploy-base`" in each for each in found)


def values(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / name).read_text())
    return found


def test_the_values_fit_their_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    standard = values("values.yaml")
    assert list(Draft7Validator(schema).iter_errors(standard)) == []
    for wrong in (
        standard | {"tls": {"mode": "on", "issuer": {"name": "", "kind": "Issuer"}}},
        standard | {"replicas": 3},
        standard | {"settings": {"CURRENCY": "EUR"}},
        standard | {"mail": {"port": 0}},
    ):
        assert list(Draft7Validator(schema).iter_errors(wrong))


def test_the_readme_names_values_that_exist() -> None:
    page = (DEPLOY / "kubernetes" / "README.md").read_text()
    standard = values("values.yaml")
    named = set(re.findall(r"(?:`|--set )([a-z]+(?:\.[A-Za-z]+)+)\b(?=[=`])", page))
    named = {each for each in named if each.split(".")[0] in standard}
    assert len(named) > 8
    # What `databases.spec` holds is CloudNativePG's.
    for each in sorted(named - {"databases.spec.backup", "databases.spec.plugins"}):
        place: Any = standard
        for part in each.split("."):
            assert part in place, each
            place = place[part]


@pytest.mark.usefixtures("helm")
def test_helm_refuses_values_that_do_not_fit() -> None:
    with pytest.raises(manifests.RenderError, match="repilcas"):
        manifests.render(DEPLOY, "standard", "--set=processes.auth.repilcas=3")


@pytest.mark.usefixtures("helm")
def test_databases_of_ones_own_and_other_issuers_need_nothing_of_the_chart() -> None:
    text = manifests.render(
        DEPLOY, "standard", "--set=databases.create=false", "--set=tls.issuer.name=company"
    )
    made = Manifests.of("own", text)
    assert list(made.kind("Cluster", "Database", "Pooler", "Issuer")) == []


def test_the_script_makes_the_secrets_that_the_manifests_name(
    kubectl: Path, base: str, keys: Path, tmp_path: Path
) -> None:
    shutil.copytree(keys, tmp_path / "keys")
    key_files.initialise(tmp_path / "keys", ["relay"])
    script = DEPLOY / "kubernetes" / "secrets.sh"
    argv = ["sh", str(script), manifests.RELEASE, str(tmp_path)]
    mail = "smtp://user:password@mail.example.com:587"
    environment = {"PATH": "/usr/bin:/bin", "KUBECTL": str(kubectl), "HOME": "/tmp"}
    environment |= {"SMTP_URL": mail, "NATS_URL": "tls://nats.example.com:4222"}
    for name, content in (("NATS_CREDENTIALS", "relay.creds"), ("NATS_CA", "ca.crt")):
        path = tmp_path / f"of {content}"
        path.write_bytes(contract.nats()["lockstep-nats"][content])
        environment[name] = str(path)
    ran = subprocess.run(
        argv,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    made = {
        each["metadata"]["name"]: {
            key: base64.b64decode(value) for key, value in each["data"].items()
        }
        for each in yaml.safe_load_all(ran.stdout)
    }
    wanted = {
        name: secret
        for name, secret in contract.secrets_of(Manifests.of("base", base)).items()
        if not name.endswith(("-tls", "-ca"))
    }
    assert made.keys() == wanted.keys()
    for name, secret in wanted.items():
        if not name.endswith("-auth-tokens"):  # named after keys, which are random
            assert made[name].keys() == secret.keys(), name
    url = made["lockstep-auth-database"]["url"].decode()
    assert made["lockstep-nats"] == wanted["lockstep-nats"]
    password = made["lockstep-auth-database"]["password"].decode()
    sample = wanted["lockstep-auth-database"]["url"].decode()
    assert url == sample.replace(contract.PASSWORD, password)
