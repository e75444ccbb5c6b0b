"""DICOM nodes and an archive for the tests of the node."""

import pytest


@pytest.fixture
def archive():
    """A storage SCP that keeps what it gets."""
    from dicom_network import Archive

    running = Archive()
    yield running
    running.stop()


@pytest.fixture
def node(tmp_path):
    """Starts a node with a model that finds two hips on every film, at once."""
    from dicom_network import Node

    running = []

    def start(port, before=(), **changes):
        running.append(Node(tmp_path, port, **{"model": "model.onnx", **changes}))
        return running[-1].start(before)

    yield start
    for each in running:
        assert each.stop() in (0, -9)
