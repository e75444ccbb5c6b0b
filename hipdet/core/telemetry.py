"""Where films are processed nothing is sent: what libraries report to their makers is switched off before their import."""

from __future__ import annotations

import os
import sys
import warnings

# read by libraries while they are imported, also in the processes that this one starts
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime, which also writes a device id below ~/.cache without it
    "NO_ALBUMENTATIONS_UPDATE": "1",  # albumentations, which mmdet imports if it is installed, asks for its newest version
    "ALBUMENTATIONS_NO_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, which mmdet imports if it is installed
    "RAY_USAGE_STATS_ENABLED": "0",  # ray, of predict --engine ray, which would report each cluster every hour
    "DO_NOT_TRACK": "1",  # others, by a common convention
}
OPENVINO = "openvino_telemetry"  # a package of its own that OpenVINO can do without; there is no variable for it


def switch_off() -> None:
    """Switch telemetry off for this process and those that it starts; nothing is imported or written.

    Whatever imports onnxruntime, OpenVINO or mmdet calls it before.  Where one of the first two is there already, with its
    telemetry on, its report of the import can't be stopped any more, and a warning says so.
    """
    late = []
    switched_off = os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in ("1", "true", "yes", "on")
    if "onnxruntime" in sys.modules and not switched_off:
        sys.modules["onnxruntime"].disable_telemetry_events()  # later reports, of its speed
        late.append("onnxruntime")
    if OPENVINO in sys.modules and sys.modules[OPENVINO] is not None and _openvino_sends():
        late.append("openvino")
    os.environ.update(SWITCHES)
    sys.modules[OPENVINO] = None  # type: ignore[assignment]  # as if it weren't installed
    if late:
        warnings.warn(
            f"{' and '.join(late)} had been imported with telemetry on before hipdet could switch it off, and may report "
            "that: call hipdet.core.telemetry.switch_off() first, or set ORT_DISABLE_TELEMETRY=1 for onnxruntime",
            stacklevel=2,
        )


def _openvino_sends() -> bool:
    """Whether OpenVINO's reports are on, which they no longer are afterwards."""
    try:
        telemetry = sys.modules[OPENVINO].Telemetry()
    except RuntimeError:  # nothing has been reported yet
        return False
    sends, telemetry.consent = bool(telemetry.consent), False
    return sends
