"""Metadata of monai-place; tool settings live in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

CORE = [
    "torch>=2.8",
    "torchvision>=0.23",
    "monai[fire,ignite,tensorboard]>=1.6.1",
    "timm>=1.0.20",
    "transformers>=5.0",
    "tokenizers>=0.22",
    "safetensors>=0.6",
    "filelock>=3.13",
    "nibabel>=5.3",
    "pydicom>=3.0.2",  # CVE-2026-32711
    "pylibjpeg>=2.1",
    "pylibjpeg-libjpeg>=2.3",
    "pylibjpeg-openjpeg>=2.4",
    "pylibjpeg-rle>=2.1",
    "pyjpegls>=1.5",
    "pillow>=11",
    "numpy>=2.0,<2.3",
    "scipy>=1.13",
    "torchmetrics>=1.8",
    "scikit-learn>=1.5",
    "pandas>=2.2",
    "matplotlib>=3.9",
    "jinja2>=3.1",
    "ftfy>=6.3",
    "jsonschema>=4.23",
    "typer>=0.15",
    "tqdm>=4.66",
]
EXTRAS = {
    "mm": [
        "onedl-mmengine>=0.10.12",
        "onedl-mmcv>=2.3.6",
        "onedl-mmdetection>=3.5.1",
        "onedl-mmsegmentation>=1.4.2",
        "imaug>=0.4.3",
        "pycocotools>=2.0.10",
        "shapely>=2.1",  # mmdetection's, and the published boxes of Object-CXR
    ],
    "dicom": ["highdicom>=0.27"],
    "generation": ["pycocoevalcap>=1.2"],
    "export": ["onnx>=1.19", "onnxruntime>=1.23", "onnxscript>=0.5"],
    "search": ["faiss-cpu>=1.9"],
    "docs": ["sphinx>=8", "myst-parser>=4", "furo>=2024.8"],
    "dev": [
        "codespell>=2.4",
        "hypothesis>=6.140",
        "import-linter>=2.3",
        "mypy>=1.18",
        "pandas-stubs>=2.3",
        "pycocotools>=2.0.10",
        "pytest>=9",
        "pytest-cov>=7",
        "pytest-xdist>=3.8",
        "ruff>=0.14",
        "setuptools>=77",
    ],
}
BUNDLE_PARTS = ("configs", "docs")
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})


class BuildWithBundles(build_py):
    """Put bundles and mm_configs beside the modules of a wheel; an editable install finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for bundle in (ROOT / "bundles").iterdir():
            target = Path(self.build_lib) / "monai_place" / "bundles" / bundle.name
            for part in BUNDLE_PARTS:  # and nothing that a run has left there
                shutil.copytree(bundle / part, target / part, dirs_exist_ok=True)
            shutil.copyfile(bundle / "LICENSE", target / "LICENSE")
        configs = Path(self.build_lib) / "monai_place" / "mm_configs"
        for file in (*(ROOT / "mm_configs").rglob("*.py"), ROOT / "mm_configs" / "README.md"):
            target = configs / file.relative_to(ROOT / "mm_configs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


setup(
    name="monai-place",
    version="0.1.0",
    description="PLACE medical vision-language pretraining as a MONAI bundle and an OpenMMLab backbone.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["monai_place", "monai_place.*"]),
    package_data={"monai_place": ["py.typed", "**/*.json", "visualize/templates/*"]},
    cmdclass={"build_py": BuildWithBundles},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["monai-place=monai_place.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Healthcare Industry",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
