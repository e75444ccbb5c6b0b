"""A node, an archive (Orthanc) and their peers, on ports of this machine."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from dicom_objects import CR
from fixed_model import write_model

from tool_runs import of_checkout

SENT, ROOM, OTHER_CLASS, UNCLEAR = 0, 0xA700, 0xA900, 0xC000
REPORT, DRAWN = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(found, seconds=60, why="nothing"):
    """What `found` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{why() if callable(why) else why} in {seconds} s")


class Node:
    """``hipdet dicom-node`` in a process of its own.

    Args:
        root: Folder of its configuration, which is ``node.json``, and of what it stores.
        archive: Port of the destination of the peers ``SENDER`` and ``ORTHANC``.
        changes: Entries of the configuration that differ.
    """

    def __init__(self, root, archive, **changes):
        self.root, self.folder, self.port = root, root / "node", free_port()
        destination = dict(ae_title="ORTHANC", host="127.0.0.1", port=archive)
        config = dict(ae_title="HIPDET", port=self.port, folder="node", films=dict(Modality=["CR", "DX"]), keep_days=1,
                      threads=1, peers=dict(SENDER=destination, ORTHANC=destination), free_bytes=0, health_seconds=1,
                      retry_seconds=1)  # fmt: skip
        config.update(changes)
        (root / "node.json").write_text(json.dumps(config))
        self.process, self.log = None, root / "node.log"
        if "model" in changes and not (root / changes["model"]).exists():
            write_model(root / changes["model"], "2", ("hip",), [0, 0], [0.9, 0.8])

    def start(self, before=(), **options):
        command = [*before, sys.executable, "-m", "hipdet", "dicom-node", str(self.root / "node.json")]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=of_checkout(), stdout=log, stderr=subprocess.STDOUT, **options
            )
        until(lambda: self.answers() or self.process.poll() is not None, 300, "no node")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def answers(self):
        """Whether it takes connections."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Its exit status after SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        return None if self.process is None else self.process.wait(60)

    def health(self):
        """The latest health line."""
        lines = [line for line in self.log.read_text().split("\n") if " health {" in line]
        return json.loads(lines[-1].split(" health ")[1])

    def peak(self):
        """Its largest memory so far, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def names(self, folder):
        return sorted(path.name for path in (self.folder / folder).iterdir())

    def settled(self, seconds=300):
        """Wait until no film waits."""
        until(lambda: not list((self.folder / "waiting").glob("*.dcm")), seconds, self.log.read_text)


class Orthanc:
    """An Orthanc on ports of this machine; films that it is told to send go to the port of a node."""

    def __init__(self, root, port, node):
        self.port, self.web = port, free_port()
        config = dict(
            Name="test", StorageDirectory=str(root / "orthanc"), IndexDirectory=str(root / "orthanc"), Plugins=[],
            HttpPort=self.web, RemoteAccessAllowed=False, AuthenticationEnabled=False, DicomAet="ORTHANC",
            DicomPort=self.port, DicomModalities=dict(node=["HIPDET", "127.0.0.1", node]), DicomAlwaysAllowFind=True,
            ConcurrentJobs=1, DicomThreadsCount=2,
        )  # fmt: skip
        (root / "orthanc.json").write_text(json.dumps(config))
        log = (root / "orthanc.log").open("w")
        command = ["/usr/sbin/Orthanc", str(root / "orthanc.json")]
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(self._answers, 60, "no Orthanc")

    def _answers(self):
        try:
            return self.get("system")
        except OSError:
            return None

    def get(self, place, content=None):
        """The answer of its REST interface to a GET, or to a POST of `content`."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}/{place}", content)
        with urllib.request.urlopen(request, timeout=60) as answer:
            data = answer.read()
        return data if place.endswith("/file") else json.loads(data)

    def find(self, **query):
        """The ids of instances."""
        return self.get("tools/find", json.dumps(dict(Level="Instance", Query=query)).encode())

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Archive:
    """A storage SCP of pynetdicom: the reports that it got, by UID, and how often each."""

    def __init__(self, port=0, tls=None, classes=(REPORT, DRAWN)):
        from pynetdicom import AE, evt

        self.objects, self.times, self.statuses, self.refused = {}, {}, [], None  # the last of a patient
        self.ae = AE("ORTHANC")
        for each in classes:
            self.ae.add_supported_context(each)
        handlers = [(evt.EVT_C_STORE, self._take)]
        self.server = self.ae.start_server(("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def _take(self, event):
        if event.dataset.PatientID == self.refused:
            return UNCLEAR
        status = self.statuses.pop() if self.statuses else 0
        if not status:
            uid = event.request.AffectedSOPInstanceUID
            self.objects[uid], self.times[uid] = event.dataset, self.times.get(uid, 0) + 1
        return status

    def stop(self):
        self.ae.shutdown()


def words(report):
    """What a report says in words."""
    return [each.TextValue for each in report.ContentSequence[-1].ContentSequence]


def film_of_report(report):
    """The UID of the film that a report is about."""
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    return series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def sender(node, title="SENDER", called="HIPDET", classes=(CR,), syntax="1.2.840.10008.1.2.1", **options):
    """An association with the node."""
    from pynetdicom import AE

    ae = AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 60
    for each in classes:
        ae.add_requested_context(each, syntax)
    return ae.associate("127.0.0.1", node.port, ae_title=called, **options)


def send(node, film, **options):
    """The status with which the node answers a film, as bytes; None without an answer."""
    from io import BytesIO

    from pydicom import dcmread

    assoc = sender(node, **options)
    if not assoc.is_established:
        return None
    status = assoc.send_c_store(dcmread(BytesIO(film)))
    if assoc.is_established:
        assoc.release()
    return status.get("Status")
