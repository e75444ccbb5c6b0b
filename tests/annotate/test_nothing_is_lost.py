"""Files of labels that are deleted, cut, replaced or damaged, between sessions and during one."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from annotation_parts import (
    HIPS,
    SIZE,
    PageClient,
    films_in,
    kill,
    open_and_end,
    open_session,
    start_tool,
    state,
    until,
)
from hipdet.annotate.film_state import Project, parse_state
from hipdet.annotate.labels import LabelStore
from hipdet.core.errors import DatasetError
from tool_runs import of_checkout

ALICE = Project(annotator="alice")
AS_ALICE = ("--annotator", "alice")
BEYOND = [150.0, 40.0, 210.0, 100.0]
LABELS = {
    "1.png": state([HIPS[0], BEYOND]),
    "2.png": state(HIPS, exclude="child", unsure=True),
    "3.png": state(unsure=True),
}


def labels_of(store):
    return {name: each.state for name, each in store.entries().items()}


@pytest.fixture
def folder(tmp_path):
    """The folder of the labels of three films."""
    session = open_session(films_in(tmp_path), ALICE)
    for name, label in LABELS.items():
        session.change(name, label)
    session.close()
    return tmp_path / "labels"


def delete(journal):
    journal.unlink()


def empty(journal):
    journal.write_bytes(b"")


def cut_a_line(journal):
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))


def cut_within_the_first_line(journal):
    journal.write_bytes(journal.read_bytes()[:40])


@pytest.mark.parametrize("lose", [delete, empty, cut_a_line, cut_within_the_first_line])
def test_what_the_journal_lacks_is_read_from_the_json(folder, lose):
    journal, coco = folder / "alice.journal", folder / "alice.json"
    lose(journal)
    before = coco.read_bytes()
    for number in range(2):
        store = LabelStore(folder, ALICE, {})
        assert {name: each.status(2) for name, each in labels_of(store).items()} == {
            "1.png": "done",
            "2.png": "excluded",
            "3.png": "new",
        }
        assert [list(roi.box) for roi in store.entry("1.png").state.rois] == [HIPS[0], BEYOND]
        assert [list(roi.box) for roi in store.entry("2.png").state.rois] == HIPS
        assert store.entry("2.png").state.unsure
        assert store.entry("3.png").state.unsure
        assert len(store.notes) == (number == 0)  # only the first session lacks anything
        store.close()
    assert len(json.loads(coco.read_text())["annotations"]) == 2
    kept = list(folder.glob("alice.json.before-*"))
    assert [path.read_bytes() for path in kept] == [before]
    assert {json.loads(line)["film"] for line in journal.open()} == set(LABELS)


def test_the_json_of_an_older_version_is_a_beginning_too(folder):
    coco = json.loads((folder / "alice.json").read_text())
    coco.pop("unlabelled")
    for image in coco["images"]:
        image.pop("drawn")
        image.pop("revision")
    (folder / "alice.json").write_text(json.dumps(coco))
    (folder / "alice.journal").unlink()
    store = LabelStore(folder, ALICE, {})
    assert {name: each.status(2) for name, each in labels_of(store).items()} == {"1.png": "done", "2.png": "excluded"}
    assert [list(roi.box) for roi in store.entry("1.png").state.rois] == [HIPS[0], BEYOND]  # a square again
    store.close()


@pytest.mark.parametrize("content", [b"", b'{"images": [', b"{}", b"[]", b"\xff\xfe", b'{"images": NaN}'])
def test_a_damaged_json_without_journal_is_refused_and_left_as_it_is(folder, content):
    (folder / "alice.journal").unlink()
    (folder / "alice.json").write_bytes(content)
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"alice\.json: "):
            LabelStore(folder, ALICE, {})
    assert (folder / "alice.json").read_bytes() == content


def test_a_damaged_json_beside_a_journal_is_kept(folder):
    (folder / "alice.json").write_bytes(b"{")
    store = LabelStore(folder, ALICE, {})
    store.close()
    assert len(store.entries()) == 3
    assert "the journal's labels are used" in store.notes[0]
    assert [path.read_bytes() for path in folder.glob("alice.json.before-*")] == [b"{"]


def deleted(folder):
    (folder / "alice.journal").unlink()


def folder_deleted(folder):
    while folder.exists():  # a file may be written meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def folder_moved(folder):
    folder.rename(folder.with_name("moved"))


def folder_replaced(folder):
    """By an older copy, as programs that synchronise folders do."""
    folder_moved(folder)
    folder.mkdir(exist_ok=True)
    (folder / "alice.journal").write_bytes((folder.parent / "moved/alice.journal").read_bytes()[:-1])
    (folder / "alice.json").write_text("{}")


def replaced(folder):
    (folder / "copy").write_bytes((folder / "alice.journal").read_bytes())
    (folder / "copy").replace(folder / "alice.journal")


def emptied(folder):
    (folder / "alice.journal").write_bytes(b"")


def lengthened(folder):
    with (folder / "alice.journal").open("a") as journal:
        journal.write("a line of another program\n")


LOSSES = [deleted, folder_deleted, folder_moved, folder_replaced, replaced, emptied, lengthened]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_journal_that_is_lost_during_the_session_is_written_again(folder, lose):
    """A change is acknowledged only when the journal at its place has it, and all before it."""
    session = open_session(folder.parent, ALICE)
    page = PageClient(session)
    page.post("1.png", state(HIPS, revision=1))
    journal = folder / "alice.journal"
    lose(folder)
    there = journal.read_bytes() if journal.is_file() else b""
    assert page.post("3.png", state(HIPS, revision=1)).status_code == 200
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {line["film"]: (line["revision"], len(line["boxes"])) for line in lines} == {
        "1.png": (2, 2),
        "2.png": (1, 2),
        "3.png": (2, 2),
    }
    assert [path.read_bytes() for path in folder.glob("alice.journal.before-*")] == ([there] if there else [])
    with pytest.raises(DatasetError, match="another hipdet annotate is writing it"):
        LabelStore(folder, ALICE, {})  # the lock is held again
    assert page.post("3.png", state(HIPS, revision=2, unsure=True)).status_code == 200
    session.close()
    again = LabelStore(folder, ALICE, {})
    assert labels_of(again) == labels_of(session.store)
    again.close()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_loss_is_noticed_without_a_change_too(folder, lose):
    session = open_session(folder.parent, ALICE)
    page = PageClient(session)
    lose(folder)
    until(lambda: page.get("/api/news").get_json()["faults"] == [])
    assert len((folder / "alice.journal").read_text().splitlines()) == 3
    until(lambda: (folder / "alice.json").is_file() and "1.png" in (folder / "alice.json").read_text())
    session.close()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_loss_is_noticed_at_the_end_too(folder, lose):
    session = open_session(folder.parent, ALICE)
    lose(folder)
    session.close()
    again = LabelStore(folder, ALICE, {})
    assert labels_of(again) == labels_of(session.store)
    again.close()


def test_no_change_is_acknowledged_while_the_journal_cannot_be_written_again(folder):
    session = open_session(folder.parent, ALICE)
    page = PageClient(session)
    folder_deleted(folder)
    folder.write_text("a file in its place")
    for _ in range(2):
        answer = page.post("3.png", state(HIPS, revision=1))
        assert answer.status_code == 507
        assert (
            "another program has deleted, replaced or changed the file, and it can't be" in answer.get_json()["error"]
        )
    assert any("alice.journal: not stored" in fault for fault in page.get("/api/news").get_json()["faults"])
    assert session.store.entry("3.png").revision == 1
    folder.unlink()
    assert page.post("3.png", state(HIPS, revision=1)).status_code == 200
    until(lambda: page.get("/api/news").get_json()["faults"] == [])
    assert len((folder / "alice.journal").read_text().splitlines()) == 3
    session.close()


@pytest.mark.slow
def test_a_journal_that_cannot_be_written_at_the_end_gives_status_3(folder):
    process, _ = start_tool(folder.parent, *AS_ALICE)
    folder_moved(folder)
    folder_deleted(folder)
    folder.write_text("a file in its place")
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 3
    assert complaints.startswith(
        "error: alice.journal: not stored: another program has deleted, replaced or changed the"
    )
    assert complaints.count("\n") == 1


def test_a_journal_that_another_session_has_begun_is_left_to_it(folder):
    session = open_session(folder.parent, ALICE)
    page = PageClient(session)
    folder_deleted(folder)
    other = LabelStore(folder, ALICE, {})
    answer = page.post("3.png", state(HIPS, revision=1))
    assert answer.status_code == 507
    assert "another hipdet annotate is writing it" in answer.get_json()["error"]
    assert (folder / "alice.journal").read_bytes() == b""
    other.close()
    assert page.post("3.png", state(HIPS, revision=1)).status_code == 200
    session.close()


def test_a_json_that_another_program_writes_during_the_session_is_kept(folder):
    session = open_session(folder.parent, ALICE)
    (folder / "alice.json").write_text('{"edited": "elsewhere"}')
    session.change("3.png", state(HIPS, revision=1))
    session.close()
    assert [path.read_text() for path in folder.glob("alice.json.before-*")] == ['{"edited": "elsewhere"}']
    assert "3.png" in (folder / "alice.json").read_text()


def move_a_box(coco):
    coco["annotations"][0]["bbox"][0] += 7


def remove_an_annotation(coco):
    coco["annotations"].pop()


def take_the_film_in(coco):
    image = next(each for each in coco["images"] if "exclude" in each)
    image.pop("exclude")
    image["status"] = "done"


def forget_the_revisions(coco):
    """As a tool does that keeps COCO's own keys only."""
    move_a_box(coco)
    for image in coco["images"]:
        image.pop("revision")


@pytest.mark.parametrize("edit", [move_a_box, remove_an_annotation, take_the_film_in, forget_the_revisions])
def test_a_json_that_was_edited_between_sessions_is_kept(folder, edit):
    path = folder / "alice.json"
    before = json.loads(path.read_text())
    edit(coco := json.loads(path.read_text()))
    path.write_text(edited := json.dumps(coco))
    for expected in ([True], []):  # only the first session finds the edited file
        store = LabelStore(folder, ALICE, {})
        assert ["edited elsewhere" in note and "alice.json.before-" in note for note in store.notes] == expected
        store.close()
    assert [each.read_text() for each in folder.glob("alice.json.before-*")] == [edited]
    assert json.loads(path.read_text())["annotations"] == before["annotations"]  # of the journal


def test_a_json_that_is_behind_the_journal_was_not_edited(folder):
    path = folder / "alice.json"
    before = path.read_bytes()
    session = open_session(folder.parent, ALICE)
    session.change("1.png", state(HIPS, revision=1))
    session.close()
    path.write_bytes(before)  # as after a kill
    store = LabelStore(folder, ALICE, {})
    store.close()
    assert (store.notes, list(folder.glob("alice.json.before-*"))) == ([], [])


@pytest.mark.slow
def test_own_labels_given_as_old_ones_are_not_emptied(folder):
    coco = folder / "alice.json"
    assert open_and_end(folder.parent, *AS_ALICE)[::2] == (0, "")
    before = json.loads(coco.read_text())
    assert (len(before["images"]), len(before["annotations"])) == (2, 2)
    assert open_and_end(folder.parent, *AS_ALICE, "--labels", coco)[::2] == (0, "")
    assert json.loads(coco.read_text()) == before
    (folder / "alice.journal").unlink()
    status, said, complaints = open_and_end(folder.parent, *AS_ALICE, "--labels", coco)
    assert (status, complaints) == (0, "")
    assert "labels of 3 films, which alice.journal lacks, were read; the file is kept as alice.json.before-" in said
    assert "labels of 0 films imported" in said
    assert json.loads(coco.read_text()) == before


@pytest.mark.slow
@pytest.mark.parametrize("lose", LOSSES)
def test_kill_after_a_loss(folder, lose):
    """What was acknowledged is there after a power cut, whatever happened to the files before."""
    process, address = start_tool(folder.parent, "--annotator", "alice")
    try:
        until(lambda: (folder / "alice.json").is_file())
        post = poster(address)
        lose(folder)
        assert post("3.png", state(HIPS, revision=1)) == 200
    finally:
        kill(process)
    store = LabelStore(folder, ALICE, {})
    assert store.entry("3.png").state.status(2) == "done"
    assert len(store.entries()) == 3
    store.close()


def poster(address):
    """A function that changes a film as the page at `address` does, and returns the status of the answer."""
    from http.cookiejar import CookieJar
    from urllib.error import HTTPError
    from urllib.request import HTTPCookieProcessor, Request, build_opener

    base, opener = address.partition("/?")[0], build_opener(HTTPCookieProcessor(CookieJar()))
    opener.open(address).close()

    def post(name, content):
        headers = {"Content-Type": "application/json", "Origin": base}
        try:
            url = f"{base}/api/film?name={name}"
            with opener.open(Request(url, json.dumps(content).encode(), headers)) as answer:
                return answer.status
        except HTTPError as error:
            return error.code

    return post


@pytest.mark.slow
def test_kill_while_a_lost_journal_is_begun(tmp_path):
    """At whatever moment: all labels of the JSON are there at the next start, and it was kept."""
    films_in(tmp_path, 1)
    labels = tmp_path / "labels"
    store = LabelStore(labels, ALICE, {})
    done = parse_state(state(HIPS), ALICE, SIZE)
    store.take_over({f"{number}.png": (done, SIZE) for number in range(3000)})
    store.close()
    before = (labels / "alice.json").read_bytes()
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
        (labels / "alice.journal").unlink()
        (labels / "alice.json").write_bytes(before)
        command = [sys.executable, "-m", "hipdet", "annotate", tmp_path, "--annotator", "alice", "--no-browser"]
        process = subprocess.Popen(list(map(str, command)), env=of_checkout(), stdout=subprocess.DEVNULL)
        until(lambda: (labels / "alice.journal").exists())
        try:
            process.wait(delay or 0.001)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        again = LabelStore(labels, ALICE, {})
        assert len(again.entries()) == 3000
        again.close()
        kept = [path.read_bytes() for path in labels.glob("alice.json.before-*")]
        assert before in kept


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX")
@pytest.mark.parametrize("journal", [True, False])
def test_a_full_disk_gives_status_3_and_leaves_the_labels(folder, journal):
    """With a limit on the size of files the system refuses as on a full disk."""
    import resource

    if not journal:
        (folder / "alice.journal").unlink()
    before = {path.name: path.read_bytes() for path in folder.glob("alice*")}
    limit = resource.RLIMIT_FSIZE, (100, 100)
    status, said, complaints = open_and_end(folder.parent, *AS_ALICE, preexec_fn=lambda: resource.setrlimit(*limit))
    assert (status, "open http" in said) == (
        3,
        journal,
    )  # with a journal, the page is served: changes may succeed later
    expected = "alice.json is not up to date: File too large; the journal has every change; start" if journal else ""
    assert complaints.startswith(f"error: {expected}")
    assert complaints.count("\n") == 1
    now = {path.name: path.read_bytes() for path in folder.glob("alice*")}
    assert {name: now[name] for name in before} == before
