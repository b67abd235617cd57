"""Apache Kafka itself, one node in KRaft mode, from its jars: needs Java 17 and, for the first time, Maven."""

import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.demo.broker import NoKafkaError, ProcessKafka
from service.demo.processes import free_port

KAFKA_VERSION: Final = "4.3.1"
_POM: Final = Path(__file__).with_name("pom.xml")
_FETCH_TIMEOUT_S: Final = 600
_JVM_OPTIONS: Final = (
    *("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

# What one node on a machine of developers needs, however it is started.
SINGLE_NODE: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "3000",  # a killed broker's own successor waits for this
    "broker.heartbeat.interval.ms": "500",
    "group.min.session.timeout.ms": "2000",
    "message.max.bytes": str(16 * 1024**2),
}


def jar_folder() -> Path:
    """Where the jars are kept between runs; another pom has another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_from = hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]
    return cache / "thumbnail-pipeline" / f"kafka-{KAFKA_VERSION}-{made_from}"


def can_run() -> bool:
    """Whether Java is here, and the jars are or can be fetched."""
    return shutil.which("java") is not None and (_is_complete(jar_folder()) or shutil.which("mvn") is not None)


def fetch_jars() -> Path:
    """The folder of the jars, fetched by Maven when they are not there. Raises NoKafkaError."""
    folder = jar_folder()
    if _is_complete(folder):
        return folder
    if shutil.which("mvn") is None:
        raise NoKafkaError("Apache Kafka's jars are fetched by Maven: install maven, or set KAFKA_BOOTSTRAP_SERVERS.")
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        _copy_dependencies(partial)
        if not _is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError:
        if not _is_complete(folder):  # it is there when somebody else was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _copy_dependencies(folder: Path) -> None:
    goals = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    command = ["mvn", "-q", "-B", "-f", str(_POM), f"-Dkafka.version={KAFKA_VERSION}", *goals]
    try:
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise NoKafkaError(f"Maven did not fetch Apache Kafka within {_FETCH_TIMEOUT_S} s.") from exc
    if fetched.returncode != 0 or not _is_complete(folder):
        raise NoKafkaError(f"Maven could not fetch Apache Kafka: {(fetched.stdout + fetched.stderr)[-1000:]}")


def _is_complete(folder: Path) -> bool:
    return (folder / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file()


class ApacheKafka(ProcessKafka):
    """The broker that production runs on. Data survive stop_process() and kill()."""

    description = f"Apache Kafka {KAFKA_VERSION}"

    def __init__(self, *, record_classes_to: Path | None = None) -> None:
        java = shutil.which("java")
        if java is None:
            raise NoKafkaError("Apache Kafka needs Java 17 or later: install a JRE, or set KAFKA_BOOTSTRAP_SERVERS.")
        jars = fetch_jars()
        archive = None if record_classes_to else archive_of(Path(java), jars, _record_classes)
        super().__init__()
        self._java: Final = [java, *_JVM_OPTIONS, "-cp", _classpath(jars)]
        if archive is not None:
            self._java.insert(1, f"-XX:SharedArchiveFile={archive}")
        self._recording: Final = [f"-XX:ArchiveClassesAtExit={record_classes_to}"] if record_classes_to else []
        self._properties: Final = self.folder / "server.properties"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        try:
            self._format_storage()
        except BaseException:
            self.stop()
            raise

    def _settings(self) -> dict[str, str]:
        controller = free_port()
        return SINGLE_NODE | {
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.folder / "data"),
        }

    def _quorum_options(self) -> list[str]:
        """Options of `kafka-storage format` that say which cluster the node is of: here a new one, of itself alone."""
        return ["--standalone", "-t", uuid.uuid4().hex[:22]]

    def _format_options(self) -> list[str]:
        """More of `kafka-storage format`'s options."""
        return []

    def _format_storage(self) -> None:
        tool = ["kafka.tools.StorageTool", "format", *self._quorum_options(), *self._format_options()]
        command = [*self._java, *tool, "-c", str(self._properties)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise NoKafkaError(f"Apache Kafka's storage could not be formatted: {(done.stdout + done.stderr)[-1000:]}")

    def _command(self) -> list[str]:
        return [self._java[0], *self._recording, *self._java[1:], "kafka.Kafka", str(self._properties)]


def archive_of(java: Path, jars: Path, record: Callable[[Path], None]) -> Path | None:
    """Return the archive of Kafka's classes for this JVM and these jars; None when this JVM makes none.

    A JVM that maps the archive into memory starts a broker in half the time. `record` makes it once: it runs a broker
    whose JVM writes its loaded classes to the given path (-XX:ArchiveClassesAtExit). An empty file means that this
    JVM cannot. The JVM itself ignores an archive that does not fit.
    """
    made_by = java.resolve()
    made_from = hashlib.sha256(f"{made_by} {made_by.stat().st_mtime_ns}".encode()).hexdigest()[:8]
    archive = jars.with_name(f"{jars.name}-{made_from}.jsa")
    if not archive.exists():
        if not os.access(archive.parent, os.W_OK):
            return None
        partial = archive.with_suffix(f".{uuid.uuid4().hex[:8]}")
        try:
            record(partial)
            partial.touch()
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)
    return archive if archive.stat().st_size else None


def _classpath(jars: Path) -> str:
    """Every jar by its name: an archive of classes is for one order of the jars, and `*` has the file system's."""
    return os.pathsep.join(sorted(map(str, jars.glob("*.jar"))))


def _record_classes(to: Path) -> None:
    broker = ApacheKafka(record_classes_to=to)
    try:
        with suppress(NoKafkaError):  # a JVM of another kind does not know the option
            broker.start()
            broker.stop_process()
    finally:
        broker.stop()
