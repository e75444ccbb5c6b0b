"""Package metadata.  The base finds ROIs with an exported model; training needs the extra mm.

No mm* package is a hard requirement: an existing deployment keeps the ones it has.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
MIM = ("configs", "tools", "model-index.yml")
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "hipdet" / "version.py").read_text())[1]


class BuildWithConfigs(build_py):
    """Adds configs and tools where mim looks for them (hipdet/.mim); editable installs go without."""

    def run(self) -> None:
        shutil.rmtree(
            Path(self.build_lib) / "hipdet", ignore_errors=True
        )  # of an older version, which would be packed too
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "hipdet" / ".mim"
        files = [path for name in MIM for path in (HERE / name, *(HERE / name).rglob("*")) if path.is_file()]
        for path in files:
            if "__pycache__" not in path.parts:
                copy = target / path.relative_to(HERE)
                self.mkpath(str(copy.parent))
                self.copy_file(str(path), str(copy))


setup(
    name="hipdet",
    version=VERSION,
    description="ROI detection in radiographs: a model-zoo plug-in for MMDetection 3.x",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["hipdet", "hipdet.*"]),
    package_data={
        "hipdet": ["py.typed", "annotate/page/*", "data/sources/*.csv", "visualization/page_files/*", "weights/*"]
    },
    entry_points={
        "console_scripts": [
            "hipdet=hipdet.__main__:main",
            "hipdet-predict=hipdet.cli.main:hipdet_predict",  # the two old names, for one version
            "hipdet-crop=hipdet.cli.main:hipdet_crop",
        ]
    },
    cmdclass={"build_py": BuildWithConfigs},
    python_requires=">=3.10,<3.15",
    install_requires=[
        "numpy>=1.22",
        "pillow>=9.2",
        "tqdm>=4.60",
        "onnxruntime>=1.16",
        "filelock>=3.10",
        "defusedxml>=0.7.1",
        "jinja2>=3.0",
    ],
    extras_require={
        # the set that is tested; mmdet 3.3.0 refuses mmcv >= 2.2
        "mm": [
            "mmengine==0.10.7",
            "mmcv-lite==2.1.0",
            "mmdet==3.3.0",
            "torch>=2.1",
            "pycocotools>=2.0.6",
            "scipy>=1.7",
            "matplotlib>=3.5",
        ],
        # converting, checking and splitting labels, and anchors: without torch and mm*
        "data": ["scipy>=1.7", "pycocotools>=2.0.6", "pyyaml>=5.4"],
        "plot": ["scipy>=1.7", "pycocotools>=2.0.6", "pyyaml>=5.4", "matplotlib>=3.5"],
        "phantoms": ["opencv-python>=4.5"],
        "anchors": ["mmengine==0.10.7", "torch>=2.1", "scipy>=1.7", "pycocotools>=2.0.6", "matplotlib>=3.5"],
        # a speed-up for non-maximum suppression and nothing more: hipdet runs without it
        "vision": ["torchvision>=0.16"],
        # JPEG 2000 and JPEG-LS by MIT-licensed codecs; pylibjpeg-libjpeg, for the older JPEGs, is GPL
        # highdicom makes reports and presentation states
        "dicom": [
            "pydicom>=3.0",
            "pylibjpeg>=2.0",
            "pylibjpeg-openjpeg>=2.0",
            "pyjpegls>=1.2",
            "highdicom>=0.28,<0.29",
            "pynetdicom>=3.0,<3.1",
        ],
        # a second runtime of exported models, with bfloat16 (docs/results/speed.md)
        "openvino": ["openvino>=2024.0"],
        # hipdet predict --engine ray; an older pyarrow unpickles what is in a Parquet file
        "ray": ["pyarrow>=17.0", "ray[data]>=2.50,<2.64"],
        "publish": ["safetensors>=0.4"],
        "export": ["onnx>=1.15", "onnxscript>=0.1"],
        # the page of hipdet annotate
        "annotate": ["werkzeug>=3.0", "scipy>=1.7", "pycocotools>=2.0.6", "pyyaml>=5.4"],
        "test": [
            "pytest>=7.4",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "hypothesis>=6.90",
            "safetensors>=0.4",
            "pydicom-data>=1.0",
            "selenium>=4.15",
            "seaborn>=0.12",  # mmdet's analyze_logs imports it
        ],
        # the documentation; Sphinx 9 needs Python 3.11
        "docs": [
            'sphinx>=9.0; python_version >= "3.11"',
            'myst-parser>=5.0; python_version >= "3.11"',
            'pydata-sphinx-theme>=0.17; python_version >= "3.11"',
        ],
        "dev": ["ruff>=0.14", "mypy>=1.11", "import-linter>=2.3", "pre-commit>=3.5"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
