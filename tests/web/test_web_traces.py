"""Traces of requests, as a collector gets them over OTLP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import line
from loopback import answering
from waferlens.monitoring.traces import Traces
from waferlens.settings.environment import traces_wanted

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STAGES = {"transfer", "preprocess", "inference", "decision", "record", "serialise"}


@contextmanager
def collecting(monkeypatch) -> Iterator[list[Any]]:
    """A collector on loopback that the environment names; the spans it got, with the resource's attributes."""
    spans: list[Any] = []

    def take(path: str, body: bytes) -> bytes:
        assert path == "/v1/traces"
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in of_resource.resource.attributes}
            spans.extend((named, span) for scope in of_resource.scope_spans for span in scope.spans)
        return b""

    with answering(take) as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        yield spans


@contextmanager
def traced(home, traces: Traces) -> Iterator[line.Served]:
    with line.a_service(home) as service:
        service.metrics.traces = traces
        with line.listening(service) as served:
            yield served


def told(span) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_a_request_is_a_span_with_its_stages_and_goes_on_with_the_callers_trace(tmp_path, monkeypatch):
    assert not traces_wanted()
    with collecting(monkeypatch) as spans:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "line-4")
        assert traces_wanted()
        traces = Traces()
        with traced(tmp_path / "home", traces) as served, served.client() as client:
            query = "/api/v1/inspect?wafer_id=W1&inspection_point=3"
            headers = {"traceparent": CALLER, "X-Request-Id": "abc", "Content-Type": "application/octet-stream"}
            assert client.ask("POST", query, line.png(20), headers).status == 200
            assert client.ask("GET", "/api/v1/wafers/absent").status == 404
        traces.close()
    named, root = next(each for each in spans if each[1].name == "POST /api/v1/inspect")
    assert named["service.name"] == "line-4"
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert told(root) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/inspect",
        "http.response.status_code": 200,
        "waferlens.request_id": "abc",
    }
    stages = {span.name: span for _, span in spans if span.parent_span_id == root.span_id}
    assert set(stages) == STAGES
    slack = 2_000_000  # the record's clock counts milliseconds
    for span in stages.values():
        assert root.start_time_unix_nano - slack <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano + slack
    assert stages["preprocess"].start_time_unix_nano <= stages["inference"].start_time_unix_nano
    other = next(span for _, span in spans if span.name.startswith("GET"))
    assert (other.trace_id, told(other)["http.response.status_code"]) != (root.trace_id, 200)
    assert "W1" not in json.dumps([told(span) for _, span in spans])


def test_every_image_of_a_wafer_is_in_its_requests_span(tmp_path, monkeypatch):
    with collecting(monkeypatch) as spans:
        traces = Traces()
        with traced(tmp_path / "home", traces) as served, served.client() as client:
            body, told = line.multipart({"0": line.png(20), "1": line.png(150)})
            assert client.ask("POST", "/api/v1/wafers/W1/inspect", body, told).status == 200
        traces.close()
    (root,) = (span for _, span in spans if span.name == "POST /api/v1/wafers/{wafer_id}/inspect")
    inside = [span.name for _, span in spans if span.parent_span_id == root.span_id]
    assert inside.count("inference") == inside.count("record") == 2


def test_a_collector_that_is_away_costs_no_image(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    traces = Traces()
    with traced(tmp_path / "home", traces) as served, served.client() as client:
        started = time.perf_counter()
        for point in range(20):
            assert client.inspect(line.png(20, seed=point), "W1", point)["decision"] == "PASS"
        assert time.perf_counter() - started < 10
    traces.close()
