"""TLS, tokens and client certificates, against the real server by grpcio and by HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority, Certificate
from eventually import eventually
from server import EXECUTABLE, Answer, Server

from dspy_orchestrator import Client, PermissionDenied, Unauthenticated, Unavailable


def token_line(subject: str, roles: str, token: str) -> str:
    return f"{subject} {roles} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


class SecureServer(Server):
    """A server with TLS, and with tokens and a client CA when asked for."""

    def __init__(self, directory: Path, *, tokens: str | None = None, mutual: bool = False) -> None:
        super().__init__(directory)
        self.authority = Authority(directory, "authority")
        self.certificate: Certificate = self.authority.server("first")
        self.flags = ("--tls-certificate", str(self.certificate.certificate), "--tls-key", str(self.certificate.key))
        self.tokens = directory / "tokens"
        if tokens is not None:
            self.tokens.write_text(tokens)
            self.flags += ("--auth-tokens", str(self.tokens))
        if mutual:
            self.flags += ("--tls-client-ca", str(self.authority.certificate))

    def connect(self, token: str = "", certificate: Certificate | None = None, timeout: float = 10) -> Client:
        return Client(
            self.rpc,
            timeout=timeout,
            token=token,
            tls_ca=self.authority.certificate,
            tls_certificate=certificate.certificate if certificate else "",
            tls_key=certificate.key if certificate else "",
        )

    def context(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if certificate:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return context

    def ask(
        self, path: str, body: bytes | None = None, token: str = "", certificate: Certificate | None = None
    ) -> Answer:
        """By HTTPS: GET, or POST when there is a body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://{self.http}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.context(certificate)) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def shown_name(self, address: str) -> str:
        """The common name of the certificate that a new connection gets."""
        host, port = address.rsplit(":", 1)
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            self.context().wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            subject: Any = (encrypted.getpeercert() or {})["subject"]
            return str(dict(pair for names in subject for pair in names)["commonName"])


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


TOKENS = token_line("reader", "read", "r-token") + token_line("worker", "submit,read", "w-token")


@pytest.fixture
def secure(tmp_path: Path, made: list[Server]) -> SecureServer:
    made.append(server := SecureServer(tmp_path, tokens="# who may\n" + TOKENS))
    server.start()
    return server


def test_jobs_run_over_tls_with_a_token(secure: SecureServer) -> None:
    with secure.connect("w-token") as client:
        job = client.submit(["echo", "__DSPY_RESULT__:[1]"])
        assert client.wait(job.job_id, timeout=60).result == [1]
        assert [event.type for event in client.events(job_ids=[job.job_id], end_when_done=True, timeout=30)]


def test_a_server_of_another_ca_is_not_trusted(secure: SecureServer, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with Client(secure.rpc, timeout=5, token="w-token", tls_ca=other.certificate) as client, pytest.raises(Unavailable):
        client.metrics()


def test_plain_text_and_other_protocols_are_hung_up_on_and_others_still_served(secure: SecureServer) -> None:
    with grpc.insecure_channel(secure.rpc) as channel:
        call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    host, port = secure.rpc.rsplit(":", 1)
    for protocols in (["http/1.1"], []):
        context = secure.context()
        if protocols:
            context.set_alpn_protocols(protocols)
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            assert encrypted.selected_alpn_protocol() is None
            assert encrypted.recv(100) == b""
    with secure.connect("r-token") as client:
        client.metrics()


def counted(server: SecureServer, name: str, reason: str, token: str = "") -> float:
    match = re.search(rf'^{name}{{reason="{reason}"}} (\S+)$', server.ask("/metrics", token=token).text, re.MULTILINE)
    assert match is not None, f"no {name} with {reason}"
    return float(match[1])


def refused_handshakes(server: SecureServer, tmp_path: Path) -> dict[str, Callable[[socket.socket], object]]:
    """What a client does with its socket, by how the server counts it."""
    plain = server.context()
    plain.set_alpn_protocols(["http/1.1"])
    distrusting = ssl.create_default_context(cafile=str(Authority(tmp_path, "other").certificate))

    def distrust(connected: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            distrusting.wrap_socket(connected, server_hostname="127.0.0.1")

    return {
        "tls_not_tls": lambda connected: connected.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "tls_no_h2": lambda connected: plain.wrap_socket(connected, server_hostname="127.0.0.1").recv(1),
        "tls_failed": distrust,
    }


def test_refused_handshakes_are_counted_by_reason_and_logged_once(secure: SecureServer, tmp_path: Path) -> None:
    host, port = secure.rpc.rsplit(":", 1)
    handshakes = refused_handshakes(secure, tmp_path)
    for shake in handshakes.values():
        for _ in range(2):
            with socket.create_connection((host, int(port)), timeout=10) as connected:
                shake(connected)
    # A probe of the port is none.
    socket.create_connection((host, int(port)), timeout=10).close()
    for reason in handshakes:

        def ended_twice(reason: str = reason) -> bool:
            return counted(secure, "grpc_server_connections_ended_total", reason) == 2

        eventually(ended_twice, f"2 of {reason}")
        assert len([line for line in secure.stderr.read_text().splitlines() if reason in line]) == 1
    assert counted(secure, "grpc_server_connections_ended_total", "tls_certificate") == 0


def test_a_client_without_the_certificate_it_needs_is_counted(tmp_path: Path, made: list[Server]) -> None:
    made.append(server := SecureServer(tmp_path, mutual=True))
    server.start()
    with server.connect(timeout=5) as client, pytest.raises(Unavailable):
        client.metrics()
    eventually(
        lambda: counted(server, "grpc_server_connections_ended_total", "tls_certificate") > 0, "a refused certificate"
    )


def test_refused_credentials_are_counted_by_reason_and_logged_once(secure: SecureServer) -> None:
    for token, reason in (("", "missing"), ("wrong", "unknown_token"), ("r-token", "role_missing")):
        with secure.connect(token) as client:
            for _ in range(3):
                with pytest.raises((Unauthenticated, PermissionDenied)):
                    client.submit(["true"])
        assert counted(secure, "orchestrator_credentials_refused_total", reason) == 3
        lines = [line for line in secure.stderr.read_text().splitlines() if reason in line]
        assert len(lines) == 1
        assert "127.0.0.1:" in lines[0]
    assert "wrong" not in secure.stderr.read_text()
    assert secure.ask("/v1/jobs", token="wrong").status == 401
    assert counted(secure, "orchestrator_credentials_refused_total", "unknown_token") == 4


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(secure: SecureServer) -> None:
    host, port = secure.rpc.rsplit(":", 1)
    context = secure.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(plain, server_hostname=host)


def test_each_role_may_do_its_own(secure: SecureServer) -> None:
    with secure.connect("r-token") as reader:
        assert reader.metrics().version
        with pytest.raises(PermissionDenied, match=r"reader.*SubmitJob.*submit"):
            reader.submit(["true"])
        with pytest.raises(PermissionDenied, match=r"reader.*CancelJob.*submit"):
            reader.cancel("any")
    for token, words in (("", "Bearer TOKEN"), ("wrong", "not known")):
        with secure.connect(token) as stranger:
            with pytest.raises(Unauthenticated, match=words):
                stranger.submit(["true"])
            with pytest.raises(Unauthenticated, match=words):
                next(stranger.events(timeout=10))


def test_a_token_taken_from_the_file_is_refused_soon_after(secure: SecureServer) -> None:
    def is_refused(client: Client) -> bool:
        try:
            client.metrics()
        except Unauthenticated:
            return True
        return False

    with secure.connect("r-token") as reader, secure.connect("new") as newcomer:
        assert not is_refused(reader)
        # A file that can't be right changes nothing.
        secure.tokens.write_text("reader everything sha256:00\n")
        eventually(lambda: "stay in use" in secure.errors(), "the log says that the file is wrong")
        health = secure.ask("/health").json
        assert health["checks"]["tokens"]["status"] == "degraded"
        assert not is_refused(reader)
        secure.tokens.write_text(token_line("newcomer", "read", "new"))
        eventually(lambda: is_refused(reader), "the old token is refused")
        assert not is_refused(newcomer)


def test_a_new_certificate_is_used_without_a_restart_and_streams_live_on(secure: SecureServer) -> None:
    addresses = (secure.rpc, secure.http)
    assert [secure.shown_name(address) for address in addresses] == ["first", "first"]
    with secure.connect("w-token") as client, client.events(from_now=True, timeout=60, reconnect_for=0) as events:
        first = client.submit(["true"])
        assert next(events).job_id == first.job_id
        # A key that does not belong to the certificate keeps the old pair.
        stranger = secure.authority.server("stranger")
        right_key = secure.certificate.key.read_bytes()
        secure.certificate.key.write_bytes(stranger.key.read_bytes())
        eventually(lambda: "don't go together" in secure.errors(), "the log says that the key is wrong")
        assert secure.shown_name(secure.rpc) == "first"
        secure.certificate.key.write_bytes(right_key)

        secure.authority.server("second").place_at(secure.certificate)
        for address in addresses:
            eventually(lambda address=address: secure.shown_name(address) == "second", "the new one is shown")  # type: ignore[misc]
        second = client.submit(["true"])
        assert any(event.job_id == second.job_id for event in events)
    with secure.connect("r-token") as client:
        client.metrics()


def test_only_clients_that_the_ca_signed_get_in(tmp_path: Path, made: list[Server]) -> None:
    made.append(server := SecureServer(tmp_path, mutual=True))
    server.start()
    known = server.authority.client("runner")
    for _ in range(2):
        with server.connect(certificate=known) as client:
            assert client.submit(["true"]).job_id
    unknown = Authority(tmp_path, "strangers").client("runner")
    for certificate in (None, unknown):
        with server.connect(certificate=certificate, timeout=5) as client, pytest.raises(Unavailable):
            client.metrics()
    # HTTP lets probes in without one, and nobody else.
    assert server.ask("/livez").status == 200
    assert server.ask("/queue/status").status == 401
    assert server.ask("/queue/status", certificate=known).status == 200
    with pytest.raises((urllib.error.URLError, OSError)):
        server.ask("/livez", certificate=unknown)


def test_a_certificate_has_the_roles_that_the_file_says(tmp_path: Path, made: list[Server]) -> None:
    lines = "cert:watcher read\ncert:spiffe://test/runner submit\n" + TOKENS
    made.append(server := SecureServer(tmp_path, tokens=lines, mutual=True))
    server.start()
    sign = server.authority.client
    with server.connect(certificate=sign("watcher")) as watcher:
        watcher.metrics()
        with pytest.raises(PermissionDenied, match="watcher"):
            watcher.submit(["true"])
    with server.connect(certificate=sign("anything", uri="spiffe://test/runner")) as runner:
        runner.submit(["true"])
        with pytest.raises(PermissionDenied, match="spiffe://test/runner"):
            runner.metrics()
    nobody = sign("nobody")
    with server.connect(certificate=nobody) as client, pytest.raises(Unauthenticated, match="cert:nobody"):
        client.metrics()
    with server.connect("w-token", certificate=nobody) as client:
        client.metrics()


def test_http_asks_for_the_same_tokens(secure: SecureServer) -> None:
    task = json.dumps({"id": "posted", "payload": {"command": ["true"]}}).encode()
    none, wrong = secure.ask("/queue/submit", task), secure.ask("/queue/submit", task, "wrong")
    assert (none.status, none.json["ok"], none.headers["www-authenticate"][:6]) == (401, False, "Bearer")
    assert wrong.status == 401
    assert "invalid_token" in wrong.headers["www-authenticate"]
    reader = secure.ask("/queue/submit", task, "r-token")
    assert reader.status == 403
    assert "reader" in reader.json["error"]
    assert "insufficient_scope" in reader.headers["www-authenticate"]
    assert secure.ask("/queue/submit", task, "w-token").status == 200
    for path in ("/queue/status", "/v1/jobs", "/v1/jobs/posted", "/no/such/route", "/v1/../livez"):
        assert secure.ask(path).status == 401, path
    assert secure.ask("/v1/jobs/posted", token="r-token").status == 200
    # Probes are open, and on loopback so are metrics.
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        assert secure.ask(path).status == 200, path
    assert "orchestrator_tls_certificate_expiry_timestamp_seconds" in secure.ask("/metrics").text


def test_probes_and_metrics_can_be_closed(tmp_path: Path, made: list[Server]) -> None:
    made.append(server := SecureServer(tmp_path, tokens=TOKENS))
    server.flags += ("--open-probes", "false", "--open-metrics", "false")
    server.start()
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        assert server.ask(path).status == 401, path
        assert server.ask(path, token="r-token").status == 200, path


def refusal(directory: Path, *flags: str) -> str:
    ended = subprocess.run(
        [EXECUTABLE, "serve", "--data-dir", str(directory / "data"), *flags],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=directory,
        env=os.environ,
    )
    assert ended.returncode not in (0, -6, -11)
    assert "ready" not in ended.stdout
    return ended.stderr


@pytest.mark.parametrize("closed", ["health", "reflection"])
def test_health_and_reflection_can_each_be_closed(tmp_path: Path, made: list[Server], closed: str) -> None:
    made.append(server := SecureServer(tmp_path, tokens=TOKENS))
    server.flags += (f"--open-{closed}", "false")
    server.start()

    def code(service: str, token: str) -> grpc.StatusCode:
        credentials = grpc.ssl_channel_credentials(server.authority.certificate.read_bytes())
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with grpc.secure_channel(server.rpc, credentials) as channel:
            try:
                if service == "health":
                    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
                    check(b"", metadata=metadata, timeout=10)
                else:
                    ask: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
                    next(ask(iter([b"\x3a\0"]), metadata=metadata, timeout=10))
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    for service in ("health", "reflection"):
        expected = grpc.StatusCode.UNAUTHENTICATED if service == closed else grpc.StatusCode.OK
        assert code(service, "") is expected
        assert code(service, "r-token") is grpc.StatusCode.OK


def test_a_server_with_clients_that_stay_stops_in_time(tmp_path: Path, made: list[Server]) -> None:
    made.append(server := SecureServer(tmp_path, tokens=TOKENS))
    server.start()
    with (
        server.connect("r-token") as client,
        client.events(from_now=True, timeout=60, reconnect_for=0) as events,
        ThreadPoolExecutor() as pool,
    ):
        waiting = pool.submit(lambda: list(events))
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 20
        with pytest.raises(Unavailable):
            waiting.result(30)


def test_help_tells_of_each_setting() -> None:
    text = subprocess.run([EXECUTABLE, "serve", "--help"], capture_output=True, text=True, timeout=30).stdout
    for name in ("tls-certificate", "tls-key", "tls-client-ca", "auth-tokens", "open-probes", "open-metrics"):
        assert f"--{name} " in text
        assert f"ORCHESTRATOR_{name.upper().replace('-', '_')}" in text


def test_files_that_can_not_be_used_are_named_at_the_start(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server("one")
    other = Authority(tmp_path, "second").server("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    tokens = tmp_path / "tokens"
    tokens.write_text("alice read plain-token\n")
    certificate, key = ("--tls-certificate", str(pair.certificate)), ("--tls-key", str(pair.key))
    for flags, words in [
        ((*certificate, "--tls-key", str(tmp_path / "none.pem")), ["--tls-key", "none.pem", "no such file"]),
        ((*certificate, "--tls-key", str(empty)), ["--tls-key", "empty.pem", "PRIVATE KEY"]),
        ((*certificate, "--tls-key", str(other.key)), ["--tls-key", "other.key", "go together"]),
        ((*key, "--tls-certificate", str(empty)), ["--tls-certificate", "empty.pem", "CERTIFICATE"]),
        ((*certificate, *key, "--tls-client-ca", str(pair.key)), ["--tls-client-ca", "one.key", "CERTIFICATE"]),
        (certificate, ["--tls-certificate", "--tls-key"]),
        (("--tls-client-ca", str(pair.certificate)), ["--tls-client-ca", "--tls-certificate"]),
        (("--auth-tokens", str(tokens)), ["--auth-tokens", "line 1", "sha256sum"]),
    ]:
        message = refusal(tmp_path, "--rpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", *flags)
        assert all(word in message for word in words), message
        assert "plain-token" not in message


def test_beyond_loopback_callers_must_be_known_and_encrypted(tmp_path: Path, made: list[Server]) -> None:
    message = refusal(tmp_path, "--rpc-listen", "0.0.0.0:0", "--http-listen", "127.0.0.1:0")
    assert "--tls-certificate" in message
    assert "--insecure" in message
    made.append(server := SecureServer(tmp_path / "known", tokens=TOKENS))
    arguments = server.arguments
    server.arguments = lambda: [word.replace("127.0.0.1:0", "0.0.0.0:0") for word in arguments()]  # type: ignore[method-assign]
    server.start()
    server.rpc = server.rpc.replace("0.0.0.0", "127.0.0.1")
    with server.connect("r-token") as client:
        client.metrics()
