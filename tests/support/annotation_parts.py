"""Parts of an annotation session for tests: films, a detector of known boxes, a running server."""

import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
from werkzeug.test import Client

from film_bytes import encoded
from hipdet.annotate.film_folder import FilmFolder
from hipdet.annotate.film_state import Project
from hipdet.annotate.labels import LabelStore
from hipdet.annotate.proposals import FilmProposals
from hipdet.annotate.server import App, Guard, bind
from hipdet.annotate.session import Session
from hipdet.inference.detections import DetectedRoi, FilmRois
from tool_runs import of_checkout

HIPS = [[20.0, 40.0, 60.0, 80.0], [140.0, 40.0, 180.0, 80.0]]
SIZE = (200, 120)


def film(width=SIZE[0], height=SIZE[1], seed=0, kind="PNG", **options):
    """A film of noise with a light square."""
    grey = np.random.default_rng(seed).integers(0, 90, (height, width), np.uint8)
    grey[height // 3 : height // 2, width // 4 : width // 3] = 230
    return encoded(grey, kind, **options)


def films_in(folder, count=3):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        (folder / f"{number}.png").write_bytes(film(seed=number))
    return folder


def state(boxes=(), revision=0, exclude=None, unsure=False, checked=True, label="hip", none=False, **more):
    """A state as the page sends it."""
    records = [{"box": box, "label": label} for box in boxes]
    return dict(revision=revision, boxes=records, exclude=exclude, unsure=unsure, checked=checked, none=none, **more)


def detector(boxes=HIPS, scores=(0.9, 0.8), flags=lambda path: (), error=lambda path: None, candidates=0):
    """A detector that finds `boxes` on every film, the last `candidates` of them as candidates."""

    def detect(paths):
        for path in paths:
            sure = len(boxes) - candidates
            found = [
                DetectedRoi(tuple(box), score, "hip", "", number >= sure)
                for number, (box, score) in enumerate(zip(boxes, scores))
            ]
            fault = error(path)
            rois, others = ((), ()) if fault else (tuple(found[:sure]), tuple(found[sure:]))
            yield FilmRois(path.name, path, rois=rois, flags=flags(path), error=fault, candidates=others)

    return detect


def open_session(folder, project=None, detect=None, out=None):
    project, out = project or Project(), out or folder / "labels"
    films = FilmFolder(folder, project.source)
    store = LabelStore(out, project, {name: each.patient for name, each in films.candidates.items()}, films)
    proposals = FilmProposals(detect, films, project, out / ".proposals.jsonl") if detect else None
    return Session(films, store, proposals)


@contextmanager
def served(folder, **options):
    """A session in this process behind a real server; yields the address and the session."""
    session = open_session(folder, **options)
    server, address = bind(session, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield address, session
    finally:
        server.shutdown()
        server.server_close()
        session.close()


class PageClient:
    """Sends requests to the application as the page does, without a network."""

    def __init__(self, session):
        self.guard = Guard()
        self.client = Client(App(session, self.guard))
        self.base = "http://127.0.0.1:8000"
        self.client.get(f"/?key={self.guard.key}", base_url=self.base)

    def get(self, path, **options):
        return self.client.get(path, base_url=self.base, **options)

    def post(self, name, content, **options):
        options = {"headers": {"Origin": self.base}, "base_url": self.base, **options}
        body = {"data": content} if isinstance(content, (bytes, str)) else {"json": content}
        body.setdefault("content_type", "application/json")
        return self.client.post("/api/film", query_string={"name": name}, **{**body, **options})


def start_tool(folder, *arguments, name="annotate"):
    """Start hipdet annotate, or another command that opens its page; returns its process and the address of the page."""
    command = [sys.executable, "-m", "hipdet", name, folder, "--no-browser", *arguments]
    environment = of_checkout()
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(r"open (http\S+)", line)
        if found:
            return process, found[1]
    raise AssertionError(said + process.stderr.read())


def open_and_end(folder, *arguments, **options):
    """Run hipdet annotate until its page can be opened, or it ends by itself; returns status, output and complaints."""
    command = [sys.executable, "-m", "hipdet", "annotate", folder, "--no-browser", *arguments]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=of_checkout(), **options
    )
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("open http"):
            process.send_signal(signal.SIGINT)
    return process.wait(timeout=120), said, process.communicate()[1]


def kill(process):
    """Kill the process, as a power cut would."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()


def until(condition, seconds=30.0):
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {condition}")
