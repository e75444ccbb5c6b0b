"""Peak memory of a detector over one film, or of ``hipdet predict``, in a process of its own; prints MB.

python benchmarks/speed/peak_memory.py hipdet FILM ONNX | inferencer FILM CONFIG WEIGHTS | yolo FILM ONNX | predict ARGUMENTS
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hipdet.core.telemetry import switch_off

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def peak_memory(kind: str, *arguments: object) -> int:
    """Peak in megabytes from the start of the process, including interpreter and libraries."""
    command = [sys.executable, __file__, kind, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    """Run the detector or command and print the peak."""
    kind, *arguments = sys.argv[1:]
    switch_off()
    if kind == "predict":
        from hipdet.cli.main import main as command

        command(["predict", *arguments])
    elif kind == "hipdet":
        from hipdet import HipDetector

        list(HipDetector(arguments[1])(arguments[0]))
    elif kind == "inferencer":
        from hipdet import mmcv_lite

        mmcv_lite.install()
        from mmdet.apis import DetInferencer

        DetInferencer(*arguments[1:], show_progress=False)(arguments[0], no_save_vis=True, no_save_pred=True)
    else:
        from speed.yolo import Yolo

        Yolo(Path(arguments[1]), threads=1)(Path(arguments[0]))
    # not getrusage: its peak includes that of the parent process
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)


if __name__ == "__main__":
    main()
