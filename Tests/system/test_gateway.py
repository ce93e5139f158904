from __future__ import annotations

import json
from typing import Any

import pytest
from server import Server

from dspy_orchestrator import Client, JobState

QUEUE_KEYS = {"pending", "running", "done", "failed", "submitted", "processed", "completed"}


def submit(server: Server, content: object) -> tuple[int, dict[str, object]]:
    answer = server.request("/queue/submit", json.dumps(content).encode(), **{"Content-Type": "application/json"})
    return answer.status, answer.json


def test_a_task_posted_becomes_a_job_with_a_done_file(server: Server, client: Client) -> None:
    command = ["echo", "__DSPY_RESULT__:[7]"]
    assert submit(server, {"id": "posted", "class": "cpu_short", "payload": {"command": command}}) == (
        200,
        {"ok": True, "id": "posted"},
    )
    assert client.wait("posted", timeout=60).result == [7]
    assert server.done_file("posted")["result"] == [7]
    assert next(client.events(job_ids=["posted"], timeout=30)).source == "http"


def test_a_task_posted_without_an_id_gets_one(server: Server, client: Client) -> None:
    status, answer = submit(server, {"payload": {"command": ["true"]}})
    assert (status, answer["ok"]) == (200, True)
    assert client.wait(str(answer["id"]), timeout=60).job_class == "cpu_short"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(server: Server, body: bytes) -> None:
    answer = server.request("/queue/submit", body)
    assert answer.status == 400
    assert answer.json["ok"] is False
    assert answer.json["error"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"id": "../x", "payload": {"command": ["true"]}}, "id"),
        ({"class": "huge", "payload": {"command": ["true"]}}, "huge"),
        ({"payload": {}}, "command"),
        ({"payload": [1]}, "payload"),
    ],
)
def test_a_wrong_task_is_refused_with_the_reason(server: Server, content: dict[str, object], reason: str) -> None:
    status, answer = submit(server, content)
    assert (status, answer["ok"]) == (400, False)
    assert reason in str(answer["error"])


def test_the_same_task_posted_twice_is_one_job(server: Server) -> None:
    content = {"id": "twice", "payload": {"command": ["true"]}}
    assert [submit(server, content)[0] for _ in range(2)] == [200, 200]
    assert submit(server, {"id": "twice", "payload": {"command": ["false"]}})[0] == 409


def test_the_queue_tells_its_numbers(server: Server, client: Client) -> None:
    submit(server, {"id": "good", "payload": {"command": ["true"]}})
    submit(server, {"id": "bad", "payload": {"command": ["false"]}})
    for name in ("good", "bad"):
        client.wait(name, timeout=60)
    numbers = server.request("/queue/status").json
    assert set(numbers) == QUEUE_KEYS
    assert all(isinstance(value, int) for value in numbers.values())
    assert (numbers["pending"], numbers["running"], numbers["submitted"]) == (0, 0, 2)


def test_a_job_is_told_as_json(server: Server, client: Client) -> None:
    client.submit(["echo", '__DSPY_RESULT__:{"a": [1]}'], job_id="told", labels={"k": "v"})
    client.wait("told", timeout=60)
    answer = server.request("/v1/jobs/told")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "application/json")
    job = answer.json
    assert (job["job_id"], job["state"], job["result"], job["labels"]) == ("told", "succeeded", {"a": [1]}, {"k": "v"})


def test_an_unknown_job_is_not_found(server: Server) -> None:
    answer = server.request("/v1/jobs/no-such-job")
    assert answer.status == 404
    assert "no-such-job" in answer.text


def test_health_says_what_it_checked(server: Server) -> None:
    answer = server.request("/health")
    assert answer.status == 200
    assert answer.json["status"] == "healthy"
    assert answer.json["version"]
    assert answer.json["uptime_seconds"] >= 0
    assert answer.json["checks"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/livez?verbose", "/readyz?verbose"])
def test_probes_answer_ok(server: Server, path: str) -> None:
    answer = server.request(path)
    assert answer.status == 200
    assert "ok" in answer.text


def test_an_unknown_route_is_not_found(server: Server) -> None:
    assert server.request("/no/such/route").status == 404


def test_a_browsers_page_of_another_site_may_not_submit(server: Server) -> None:
    body = json.dumps({"payload": {"command": ["true"]}}).encode()
    assert server.request("/queue/submit", body, Origin="http://evil.example").status == 403


def test_jobs_posted_as_a_batch_run_in_their_order_and_one_is_cancelled(server: Server, client: Client) -> None:
    def post(path: str, content: object) -> tuple[int, Any]:
        answer = server.request(path, json.dumps(content).encode())
        return answer.status, answer.json

    jobs = [
        {"job_id": "last", "payload": {"command": ["echo", "__DSPY_RESULT__:[2]"]}, "depends_on": ["first"]},
        {"job_id": "none", "payload": {}},
        {"job_id": "first", "payload": {"command": ["echo", "__DSPY_RESULT__:[1]"]}, "labels": {"k": "v"}},
        {
            "job_id": "long",
            "jobClass": "JOB_CLASS_CPU_LONG",
            "payload": {"command": ["sleep", "300"]},
            "timeout": "600s",
        },
    ]
    for already_existed in (False, True):
        status, answer = post("/v1/jobs", {"jobs": jobs})
        last, none, *others = answer["results"]
        assert (status, none["ok"], none["status"]) == (200, False, 400)
        assert "command" in none["error"]
        assert [result["already_existed"] for result in (last, *others)] == [already_existed] * 3
    assert [client.wait(name, timeout=60).result for name in ("first", "last")] == [[1], [2]]
    first, last = (server.request(f"/v1/jobs/{name}").json for name in ("first", "last"))
    assert first["finished_at"] <= last["started_at"]
    assert (first["labels"], last["depends_on"]) == ({"k": "v"}, ["first"])

    for _ in range(2):
        assert post("/v1/jobs/long/cancel", {"reason": "not needed"})[0] == 200
    assert client.wait("long", timeout=60).state is JobState.CANCELLED
    assert "not needed" in server.request("/v1/jobs/long").json["error"]
    assert post("/v1/jobs/long/cancel", {"reason": "too late"})[1]["state"] == "cancelled"
    assert next(client.events(job_ids=["long"], types=["task_cancelled"], timeout=30)).source == "http"
    assert post("/v1/jobs/nobody/cancel", {})[0] == 404
