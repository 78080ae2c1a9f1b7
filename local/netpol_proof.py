"""Proof that the cluster enforces NetworkPolicy: `python3 local/netpol_proof.py`. Exit 0 when all is as expected.

Makes two namespaces, puts policies on them step by step and tries, from pods, what must pass and what must not.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

from localcluster import paths

IMAGE = os.environ.get("RAGOPS_PROOF_IMAGE", "docker.io/library/busybox:1.35")
SERVER_NS, CLIENT_NS = "netpol-proof-a", "netpol-proof-b"
SERVE = "mkdir /w; echo hello > /w/index.html; httpd -p 8081 -h /w; exec httpd -f -p 8080 -h /w"


@dataclass(frozen=True)
class Try:
    """From one pod to somewhere: must it pass?"""

    text: str
    namespace: str
    pod: str
    target: str  # host:port, or a name to resolve
    passes: bool


class Kubectl:
    def __init__(self) -> None:
        where = paths.find()
        self.program = shutil.which("kubectl") or str(where.bin / "kubectl")
        self.config = os.environ.get("RAGOPS_PROOF_KUBECONFIG", str(where.kubeconfig))

    def __call__(self, *words: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [self.program, f"--kubeconfig={self.config}", *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=180)
        if check and done.returncode != 0:
            raise SystemExit(f"kubectl {' '.join(words[:4])}: {done.stderr.strip()}")
        return done

    def apply(self, *objects: dict[str, object]) -> None:
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def pod(namespace: str, name: str, label: str, command: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": label}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", command]}],
        },
    }


def policy(namespace: str, name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def attempt(kubectl: Kubectl, item: Try) -> bool:
    target = item.target
    command = ["wget", "-q", "-O-", f"http://{target}"] if ":" in target else ["nslookup", target]
    done = kubectl("-n", item.namespace, "exec", item.pod, "--", "timeout", "3", *command, check=False)
    return done.returncode == 0


def holds(kubectl: Kubectl, item: Try) -> bool:
    """Policies arrive with a delay: within 20 s it must be as wanted, and then stay so."""
    deadline = time.monotonic() + 20
    while attempt(kubectl, item) != item.passes:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return all(attempt(kubectl, item) == item.passes for _ in range(2))


def stage(kubectl: Kubectl, title: str, *items: Try) -> bool:
    print(title, flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        verdicts = list(pool.map(lambda item: holds(kubectl, item), items))
    for item, good in zip(items, verdicts, strict=True):
        print(f"  {'ok  ' if good else 'FAIL'}  {item.text} {'passes' if item.passes else 'is blocked'}", flush=True)
    return all(verdicts)


def prepare(kubectl: Kubectl) -> tuple[str, str]:
    kubectl("delete", "namespace", SERVER_NS, CLIENT_NS, "--ignore-not-found")
    for name in (SERVER_NS, CLIENT_NS):
        kubectl("create", "namespace", name)
        kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    service: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "srv", "namespace": SERVER_NS},
        "spec": {"selector": {"app": "srv"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    idle = "exec sleep 3600"
    kubectl.apply(
        pod(SERVER_NS, "srv", "srv", SERVE),
        pod(SERVER_NS, "client", "client", idle),
        pod(CLIENT_NS, "client", "client", idle),
        pod(CLIENT_NS, "other", "other", idle),
        service,
    )
    for name in (SERVER_NS, CLIENT_NS):
        kubectl("-n", name, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
    address = kubectl("-n", SERVER_NS, "get", "pod", "srv", "-o", "jsonpath={.status.podIP}").stdout
    virtual = kubectl("-n", SERVER_NS, "get", "service", "srv", "-o", "jsonpath={.spec.clusterIP}").stdout
    return address, virtual


def prove(kubectl: Kubectl) -> bool:
    address, virtual = prepare(kubectl)
    near = ("a/client -> srv:8080", SERVER_NS, "client", f"{address}:8080")
    far = ("b/client -> srv:8080", CLIENT_NS, "client", f"{address}:8080")
    other = ("b/other -> srv:8080", CLIENT_NS, "other", f"{address}:8080")
    port = ("b/client -> srv:8081", CLIENT_NS, "client", f"{address}:8081")
    service = ("b/client -> service:80", CLIENT_NS, "client", f"{virtual}:80")
    dns = ("b/client name lookup", CLIENT_NS, "client", f"srv.{SERVER_NS}.svc.cluster.local")
    from_b: dict[str, object] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": CLIENT_NS}}}
    web = [{"protocol": "TCP", "port": 8080}]
    client = {"podSelector": {"matchLabels": {"app": "client"}}}
    good = [stage(kubectl, "no policy", *(Try(*t, True) for t in (near, far, other, port, service, dns)))]

    kubectl.apply(policy(SERVER_NS, "deny", policyTypes=["Ingress"]))
    good.append(stage(kubectl, "default-deny ingress in a", *(Try(*t, False) for t in (near, far, service))))

    server = {"matchLabels": {"app": "srv"}}
    kubectl.apply(policy(SERVER_NS, "from-b", podSelector=server, ingress=[{"from": [from_b], "ports": web}]))
    passing = [Try(*t, True) for t in (far, other, service)]
    good.append(stage(kubectl, "and namespace b allowed on port 8080", *passing, Try(*near, False), Try(*port, False)))

    narrow = {**from_b, **client}
    kubectl.apply(policy(SERVER_NS, "from-b", podSelector=server, ingress=[{"from": [narrow], "ports": web}]))
    good.append(stage(kubectl, "and only its pods app=client", Try(*far, True), Try(*other, False)))

    kubectl.apply(policy(CLIENT_NS, "deny", policyTypes=["Egress"]))
    good.append(stage(kubectl, "default-deny egress in b", Try(*far, False), Try(*dns, False)))

    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    resolver = {**system, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    kubectl.apply(policy(CLIENT_NS, "dns", policyTypes=["Egress"], egress=[{"to": [resolver], "ports": ports}]))
    good.append(stage(kubectl, "and DNS allowed", Try(*dns, True), Try(*far, False)))

    to_a = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SERVER_NS}}}
    egress = [{"to": [to_a], "ports": web}]
    kubectl.apply(policy(CLIENT_NS, "to-a", policyTypes=["Egress"], egress=egress, **client))
    passing = [Try(*t, True) for t in (far, service)]
    good.append(stage(kubectl, "and app=client to a on port 8080", *passing, Try(*other, False)))

    for name in (SERVER_NS, CLIENT_NS):
        kubectl("-n", name, "delete", "networkpolicy", "--all")
    good.append(stage(kubectl, "all policies deleted", *(Try(*t, True) for t in (near, other, port))))
    return all(good)


def main() -> int:
    kubectl = Kubectl()
    try:
        passed = prove(kubectl)
    finally:
        kubectl("delete", "namespace", SERVER_NS, CLIENT_NS, "--ignore-not-found", "--wait=false", check=False)
    print("PASS: NetworkPolicy is enforced" if passed else "FAIL: NetworkPolicy is not enforced")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
