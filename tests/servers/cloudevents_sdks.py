"""CloudEvents' own SDKs for Python, Node and Java read our records and write uploads that we read: `make sdks`.

Their Kafka bindings make records of events and events of records; a broker between them would change nothing. They are
fetched from PyPI, npm and Maven Central, which takes minutes: so no test runs it.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.topics import UNPREFIXED
from streams.kafka.records import InboundRecord, read_delivery
from streams.thumbnails.events_out import Announcements
from tests.doubles.pipeline import NOW, an_upload
from tests.doubles.results import ready

TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CORRELATION: Final = "order-7"
_FOLDER: Final = Path(__file__).parent / "clients"
PYTHON_SDK: Final = "cloudevents==2.2.0"
NODE_SDK: Final = "cloudevents@10.0.0"
JAVA_SDK: Final = "4.0.1"

_PYTHON: Final = """
import json
from datetime import datetime
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
ours, upload = (json.load(open(name)) for name in ("ours.json", "upload.json"))
headers = {name: text.encode() for name, text in ours["headers"].items()}
event = from_binary(KafkaMessage(headers, ours["key"].encode(), ours["value"].encode()), JSONFormat())
names = ("id", "type", "subject", "traceparent", "correlationid")
read = {name: event.get_attributes()[name] for name in names} | {"data": event.get_data()}
context = upload["context"] | {"time": datetime.fromisoformat(upload["context"]["time"])}
made = CloudEvent(context | {"specversion": "1.0", "datacontenttype": "application/json"}, upload["data"])
written = []
for message in (to_binary(made, JSONFormat()), to_structured(made, JSONFormat())):
    text = message.value if isinstance(message.value, str) else message.value.decode()
    written.append({"headers": {name: value.decode() for name, value in message.headers.items()}, "value": text})
json.dump({"read": read, "written": written}, open("answer.json", "w"))
"""
_NODE: Final = """
const { readFileSync, writeFileSync } = require("node:fs");
const { CloudEvent, Kafka } = require("cloudevents");
const load = (name) => JSON.parse(readFileSync(name));
const ours = load("ours.json"), upload = load("upload.json");
const event = Kafka.toEvent({ headers: ours.headers, key: ours.key, value: ours.value, body: ours.value });
const read = { data: event.data };
for (const name of ["id", "type", "subject", "traceparent", "correlationid"]) read[name] = event[name];
const made = new CloudEvent({ ...upload.context, datacontenttype: "application/json", data: upload.data });
const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const written = [Kafka.binary(made), Kafka.structured(made)].map((message) => ({
  headers: Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)])),
  value: text(message.value),
}));
writeFileSync("answer.json", JSON.stringify({ read, written }));
"""
_JAVA: Final = """
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventDeserializer;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.File;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Map;
import org.apache.kafka.common.header.internals.RecordHeaders;

public class Sdk {
    public static void main(String[] args) throws Exception {
        var json = new ObjectMapper();
        var ours = json.readTree(new File("ours.json"));
        var upload = json.readTree(new File("upload.json"));
        var headers = new RecordHeaders();
        ours.get("headers").fields().forEachRemaining(
            one -> headers.add(one.getKey(), one.getValue().asText().getBytes(StandardCharsets.UTF_8)));
        byte[] value = ours.get("value").asText().getBytes(StandardCharsets.UTF_8);
        CloudEvent event = new CloudEventDeserializer().deserialize("thumbnail.ready", headers, value);
        ObjectNode read = json.createObjectNode();
        read.put("id", event.getId()).put("type", event.getType()).put("subject", event.getSubject());
        for (String name : new String[] {"traceparent", "correlationid"}) {
            read.put(name, event.getExtension(name).toString());
        }
        read.set("data", json.readTree(event.getData().toBytes()));
        var context = upload.get("context");
        CloudEvent made = CloudEventBuilder.v1()
            .withId(context.get("id").asText()).withType(context.get("type").asText())
            .withSource(URI.create(context.get("source").asText()))
            .withTime(OffsetDateTime.parse(context.get("time").asText()))
            .withExtension("traceparent", context.get("traceparent").asText())
            .withExtension("correlationid", context.get("correlationid").asText())
            .withData("application/json", json.writeValueAsBytes(upload.get("data"))).build();
        var written = json.createArrayNode();
        for (Encoding encoding : Encoding.values()) {
            var serializer = new CloudEventSerializer();
            serializer.configure(Map.of(CloudEventSerializer.ENCODING_CONFIG, encoding.name(),
                CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE), false);
            var made_headers = new RecordHeaders();
            byte[] bytes = serializer.serialize("media.uploaded", made_headers, made);
            var said = json.createObjectNode();
            made_headers.forEach(one -> said.put(one.key(), new String(one.value(), StandardCharsets.UTF_8)));
            written.addObject().put("value", new String(bytes, StandardCharsets.UTF_8)).set("headers", said);
        }
        ObjectNode answer = json.createObjectNode();
        answer.set("read", read);
        answer.set("written", written);
        json.writeValue(new File("answer.json"), answer);
    }
}
"""


def python_sdk(folder: Path) -> None:
    """Run the program with the SDK of PyPI."""
    venv.create(folder / "python", with_pip=True)
    _run([str(folder / "python/bin/pip"), "install", "--quiet", PYTHON_SDK], folder)
    _run([str(folder / "python/bin/python"), "-c", _PYTHON], folder)


def node_sdk(folder: Path) -> None:
    """Run the program with the SDK of npm."""
    _run(["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", NODE_SDK], folder)
    _run(["node", "-e", _NODE], folder)


def java_sdk(folder: Path) -> None:
    """Run the program with the SDK of Maven Central."""
    pom = str(_FOLDER / "java" / "pom.xml")
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}", "-DincludeScope=runtime"]
    _run(["mvn", "-q", "-B", "-f", pom, f"-Dcloudevents.version={JAVA_SDK}", *goals], folder)
    (folder / "Sdk.java").write_text(_JAVA, encoding="utf-8")
    _run(["java", "-Xmx128m", "-cp", f"{folder / 'jars'}/*", "Sdk.java"], folder)


SDKS: Final[Mapping[str, Callable[[Path], None]]] = {
    f"Python, {PYTHON_SDK}": python_sdk,
    f"Node, {NODE_SDK}": node_sdk,
    f"Java, cloudevents-kafka {JAVA_SDK}": java_sdk,
}


def our_record() -> dict[str, Any]:
    """Return a record of thumbnail.ready, whose upload had a trace."""
    links = ((h.TRACEPARENT, TRACE.encode()), (h.CORRELATION_ID, CORRELATION.encode()))
    cause = InboundRecord(UNPREFIXED.uploads, 0, 0, int(NOW.timestamp() * 1000), b"video:42", b"{}", links)
    delivery = read_delivery(cause, UNPREFIXED)
    record = Announcements(UNPREFIXED, delivery, an_upload(), NOW).ready(ready(), is_beside_others=False)
    headers = {name: (value or b"").decode() for name, value in record.headers}
    return {"key": (record.key or b"").decode(), "headers": headers, "value": (record.value or b"").decode()}


def an_upload_of_theirs() -> dict[str, Any]:
    """Return context and data of an upload whose id and time are in the context alone."""
    media = {
        "kind": "video",
        "id": 42,
        "ar_content_id": 9,
        "key": "acme/uploads/holiday.mp4",
        "external_id": "2f1a-Größe",
    }
    time = datetime(2026, 11, 23, 19, 31, 24, 182000, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    context = {"id": "their-1", "source": "/shop", "type": MEDIA_UPLOADED_TYPE, "time": time}
    context |= {"traceparent": TRACE, "correlationid": CORRELATION}
    return {"context": context, "data": {"company_id": 1, "media": media}}


def problems_of(answer: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return what an SDK read of our record, and we of its two, that is not what was written."""
    headers = ours["headers"]
    wanted = {name: headers[f"ce_{name}"] for name in ("id", "type", "subject")}
    wanted |= {"traceparent": TRACE, "correlationid": CORRELATION, "data": json.loads(ours["value"])}
    found = [
        f"read {name} as {answer['read'].get(name)!r}" for name in wanted if answer["read"].get(name) != wanted[name]
    ]
    for record in answer["written"]:
        sent = tuple((name, text.encode()) for name, text in record["headers"].items())
        value = record["value"].encode()
        event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, sent)
        written = {"event_id": event.event_id, "media": event.media.model_dump(mode="json", exclude_none=True)}
        if written != {"event_id": theirs["context"]["id"], "media": theirs["data"]["media"]}:
            found.append(f"wrote {written}")
        is_binary = any(name.lower() == h.CE_ID for name, _ in sent)
        delivery = read_delivery(InboundRecord(UNPREFIXED.uploads, 0, 0, 0, b"video:42", value, sent), UNPREFIXED)
        if is_binary and (delivery.correlation_id, delivery.trace_id) != (CORRELATION, TRACE[3:35]):
            found.append(f"wrote links {delivery.correlation_id}, {delivery.trace_id}")
    modes = {any(name == h.CE_ID for name in record["headers"]) for record in answer["written"]}
    return found if modes == {True, False} else [*found, "did not write both modes"]


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, env=os.environ | {"NODE_PATH": str(folder / "node_modules")}, check=True)


def main() -> int:
    """Exit code 0 when every SDK reads our record, and we read those that it writes."""
    ours, theirs = our_record(), an_upload_of_theirs()
    failed = 0
    for name, run in SDKS.items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "ours.json").write_text(json.dumps(ours), encoding="utf-8")
            (folder / "upload.json").write_text(json.dumps(theirs), encoding="utf-8")
            try:
                run(folder)
                found = problems_of(json.loads((folder / "answer.json").read_text(encoding="utf-8")), ours, theirs)
            except (subprocess.CalledProcessError, OSError) as exc:
                found = [str(exc)[:300]]
        failed += bool(found)
        sys.stdout.write(f"{name}: {'; '.join(found) or 'reads our records, and writes uploads that are read'}\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
