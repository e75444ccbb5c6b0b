"""Package metadata.  No mm* package is a hard requirement: an existing deployment keeps the ones it has."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = (HERE / "hipdet" / "version.py").read_text().split('"')[1]

setup(
    name="hipdet",
    version=VERSION,
    description="ROI detection in radiographs: a model-zoo plug-in for MMDetection 3.x",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["hipdet", "hipdet.*"]),
    package_data={"hipdet": ["py.typed"]},
    python_requires=">=3.9,<3.14",
    install_requires=["torch>=2.1", "numpy>=1.22", "pillow>=9.2", "pycocotools>=2.0.6", "tqdm>=4.60"],
    extras_require={
        # the set that is tested; mmdet 3.3.0 refuses mmcv >= 2.2
        "mm": ["mmengine==0.10.7", "mmcv-lite==2.1.0", "mmdet==3.3.0"],
        # a speed-up for non-maximum suppression and nothing more: hipdet runs without it
        "vision": ["torchvision>=0.16"],
        "dicom": ["pydicom>=2.4", "pylibjpeg>=2.0", "pylibjpeg-openjpeg>=2.0"],
        "export": ["onnx>=1.15", "onnxruntime>=1.16"],
        "test": ["pytest>=7.4", "pytest-timeout>=2.2", "pytest-xdist>=3.5", "hypothesis>=6.90"],
        "dev": ["ruff==0.14.6", "mypy==1.18.2", "pre-commit>=3.5"],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
