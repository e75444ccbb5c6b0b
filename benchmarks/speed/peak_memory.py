"""Peak memory of one contestant over one film, in a process of its own; prints MB.

python benchmarks/speed/peak_memory.py KIND FILES... -- FILM, KIND being hipdet (.onnx), inferencer (config, weights) or yolo
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def peak_memory(kind: str, files: Sequence[Path], film: Path) -> str:
    """Megabytes, as text."""
    command = [sys.executable, __file__, kind, *map(str, files), "--", str(film)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def main() -> None:
    """Run it."""
    at = sys.argv.index("--")
    kind, files, film = sys.argv[1], sys.argv[2:at], sys.argv[at + 1]
    if kind == "hipdet":
        from hipdet import HipDetector

        list(HipDetector(files[0])(film))
    elif kind == "inferencer":
        from mmdet.apis import DetInferencer

        import hipdet  # noqa: F401  (before mmdet: makes mmcv-lite usable)

        DetInferencer(*files, show_progress=False)(film, no_save_vis=True, no_save_pred=True)
    else:
        from speed.yolo import Yolo

        Yolo(Path(files[0]), threads=1)(Path(film))
    # not getrusage: its peak begins with that of the process that started this one
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)


if __name__ == "__main__":
    main()
