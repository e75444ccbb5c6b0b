"""Which versions are installed, and whether hipdet works with them."""

from __future__ import annotations

import re

INSTALL_LINE = "pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0"

# distributions that provide a module, and the range of versions that hipdet works with: [first, end)
REQUIREMENTS = {
    "mmengine": (("mmengine", "mmengine-lite", "onedl-mmengine"), (0, 10), (1,)),
    "mmcv": (("mmcv", "mmcv-lite", "onedl-mmcv"), (2, 0), (3,)),
    "mmdet": (("mmdet", "onedl-mmdetection"), (3, 2), (4,)),
}

# further distributions that a report of a fault needs
REPORTED = (
    "torch", "torchvision", "numpy", "pillow", "onnxruntime", "openvino", "opencv-python", "opencv-python-headless",
    "pydicom", "pycocotools", "scipy",
)  # fmt: skip


def installed(names: tuple[str, ...]) -> tuple[str, str] | None:
    """Name and version of the first installed distribution in `names`; None if there is none."""
    from importlib import metadata  # slow to import, and the command line imports this file

    for name in names:
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def version_report(version: str) -> str:
    """What ``hipdet --version`` prints: hipdet's `version`, then Python, the system and the packages that are installed."""
    import platform

    packages = [*(names for names, _, _ in REQUIREMENTS.values()), *((name,) for name in REPORTED)]
    found = [package for names in packages if (package := installed(names))]
    lines = [("hipdet", version), ("python", platform.python_version()), ("system", platform.platform()), *found]
    return "\n".join(f"{name} {number}" for name, number in lines)


def check_versions() -> None:
    """Raise ImportError, with the versions found and needed and the line to install, unless all mm* packages fit."""
    found = {module: installed(names) for module, (names, _, _) in REQUIREMENTS.items()}
    faults = []
    for module, (_, first, end) in REQUIREMENTS.items():
        wanted = f">={'.'.join(map(str, first))},<{'.'.join(map(str, end))}"
        package = found[module]
        if package is None:
            faults.append(f"{module} is not installed (needed: {wanted})")
        elif not first <= release(package[1]) < end:
            faults.append(f"{package[0]} is {package[1]} (needed: {wanted})")
    mmdet, mmcv = found["mmdet"], found["mmcv"]
    if not faults and mmdet and mmcv and mmdet[0] == "mmdet" and release(mmcv[1]) >= (2, 2):
        faults.append(f"{mmcv[0]} is {mmcv[1]}, which mmdet {mmdet[1]} rejects (needed: >=2.0,<2.2)")
    if faults:
        raise ImportError(f"hipdet can't work with this environment: {'; '.join(faults)}. Install: {INSTALL_LINE}")


def release(text: str) -> tuple[int, ...]:
    """The release of a version as numbers: ``'2.1.0rc1+cpu'`` to ``(2, 1, 0)``."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
