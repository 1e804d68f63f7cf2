"""Rules of the house that hold for every file: mirrored tests, sizes, names, forbidden calls, versions, constraints."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest

import monai_place

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_place"
LONGEST_FILE = 400  # lines
LARGEST_FILE = 100  # kB

# module -> why no test file has its name
WITHOUT_A_TEST_FILE: dict[str, str] = {}

# file -> why the repository carries it
LARGE_FILES: dict[str, str] = {}

# name of ours that MONAI has too -> why it stays
SHARED_WITH_MONAI = {
    "load": "monai_place.load is what users call; by its bare name MONAI's own, which is loaded first, is found",
}

FORBIDDEN_CALLS = {
    "extractall": r"\bextractall\(",
    "unpickling": r"\bc?[pP]ickle\.loads?\(|\bUnpickler\(",
    "yaml.load": r"\byaml\.load\(",
    "eval": r"(?<![\w.])eval\(",
    "exec": r"(?<![\w.])exec\(",
    "shell": r"shell\s*=\s*True",
    "unsafe torch.load": r"weights_only\s*=\s*False",
    "remote code": r"trust_remote_code\s*=\s*True",
    "numpy pickles": r"allow_pickle\s*=\s*True",
}

# Written with brackets so that this file does not hold what it looks for.
NOT_FOR_THE_REPOSITORY = {
    "a registry host": r"p[y]pi\.org|pythonhos[t]ed\.org|[-]-(extra-)?index-url",
    "a path of somebody's machine": r"/hom[e]/\w+/|/roo[t]/|/User[s]/\w+/|[.]pyen[v]|/wor[k]/",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----",
}


@lru_cache
def tracked_files() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so nothing says which files belong to the repository")
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def modules_of_the_package() -> list[str]:
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in {"__init__.py", "__main__.py"}
    ]


def import_all_modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.walk_packages(monai_place.__path__, "monai_place.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def without_strings_and_comments(source: str) -> str:
    """Return the code of a file, its docstrings and comments taken out: they may name what the code must not do."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


@lru_cache
def code_of_the_package() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): without_strings_and_comments(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@pytest.mark.parametrize("module", modules_of_the_package())
def test_every_module_has_a_test_file_of_its_name(module: str) -> None:
    path = Path(module)
    stem = path.stem.lstrip("_")
    folder = ROOT / "tests" / path.parent
    found = [*folder.glob(f"test_{stem}.py"), *folder.glob(f"test_{stem}_*.py")]
    excused = WITHOUT_A_TEST_FILE.get(module)
    assert found or excused, f"write tests/{path.parent.as_posix()}/test_{stem}.py, or excuse the module with a reason"
    assert not (found and excused), f"{module} is excused and has {found[0].name}: take the excuse out"


def test_no_module_that_is_gone_is_excused() -> None:
    assert set(WITHOUT_A_TEST_FILE) <= set(modules_of_the_package())


def test_no_python_file_is_longer_than_the_limit() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in tracked_files()
        if path.suffix == ".py" and (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert not long, f"over {LONGEST_FILE} lines: would two rooms be clearer?"


def test_no_large_file_without_a_reason() -> None:
    large = {path.relative_to(ROOT).as_posix() for path in tracked_files() if path.stat().st_size > LARGEST_FILE * 1000}
    assert large == set(LARGE_FILES)


@pytest.mark.parametrize("what", NOT_FOR_THE_REPOSITORY)
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(NOT_FOR_THE_REPOSITORY[what].encode())
    found = [path.relative_to(ROOT).as_posix() for path in tracked_files() if pattern.search(path.read_bytes())]
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize("what", FORBIDDEN_CALLS)
def test_the_package_never_uses(what: str) -> None:
    pattern = re.compile(FORBIDDEN_CALLS[what])
    found = [module for module, code in code_of_the_package().items() if pattern.search(code)]
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        pytest.param("extractall", "archive.extractall(folder)", id="zip"),
        pytest.param("unpickling", "value = pickle.load(file)", id="pickle"),
        pytest.param("yaml.load", "value = yaml.load(text)", id="yaml"),
        pytest.param("eval", "value = eval(text)", id="eval"),
        pytest.param("exec", "exec(text)", id="exec"),
        pytest.param("shell", "run(line, shell=True)", id="shell"),
        pytest.param("unsafe torch.load", "torch.load(file, weights_only=False)", id="torch"),
        pytest.param("remote code", "load(name, trust_remote_code=True)", id="transformers"),
        pytest.param("numpy pickles", "np.load(file, allow_pickle=True)", id="numpy"),
    ],
)
def test_the_gate_sees(what: str, line: str) -> None:
    assert re.search(FORBIDDEN_CALLS[what], without_strings_and_comments(line))


def test_the_gate_lets_pass_what_only_looks_alike() -> None:
    code = without_strings_and_comments('"""Never eval(x)."""\nmodel.eval()  # exec(x)\nretrieval(x)\n')
    assert not any(re.search(pattern, code) for pattern in FORBIDDEN_CALLS.values())


@pytest.mark.parametrize("package", ["networks", "losses", "metrics"])
def test_the_ground_floor_knows_no_monai_engine(package: str) -> None:
    # import-linter holds the other floors (make lint); it cannot tell one part of an outside package from another.
    for path in (PACKAGE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            assert not [n for n in names if n.startswith(("monai.engines", "monai.handlers"))], path.name


def test_public_names_are_listed_and_exist() -> None:
    for module in import_all_modules():
        assert hasattr(module, "__all__"), f"{module.__name__} has no __all__"
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"{module.__name__}.__all__ names {missing}, which it does not have"


def test_every_public_class_and_function_is_found_by_its_bare_name_in_a_bundle() -> None:
    # MONAI looks a bare _target_ up in every loaded module whose name begins with "monai", ours among them: a name that
    # MONAI has too, or that two of our modules have, resolves to whichever was seen first.
    from monai.bundle.config_item import ComponentLocator

    locator = ComponentLocator()
    clashes = {}
    for module in import_all_modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)) or thing.__module__ != module.__name__:
                continue
            where = locator.get_component_module_name(name)
            found = [where] if isinstance(where, str) else list(where or [])
            if any(other.startswith("monai.") for other in found) or (len(found) > 1 and "cli" not in module.__name__):
                clashes[name] = found
    assert clashes.keys() == SHARED_WITH_MONAI.keys(), clashes
    assert all(found[0].startswith("monai.") for found in clashes.values())


def test_one_version_everywhere() -> None:
    version = monai_place.__version__
    assert f'version="{version}"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    exact = re.compile(r'[a-z0-9][a-z0-9._-]*==[\w.]+( ; python(_full)?_version (<|>=) "3\.[\d.]+")?')
    assert [line for line in pins if not exact.fullmatch(line)] == []
    assert pins == sorted(pins, key=lambda line: line.partition("==")[0])


def test_every_requirement_is_pinned() -> None:
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    required = {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r'"([A-Za-z][\w.-]*)(?:\[[\w,]+\])?>=', source)
    }
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert len(required) > 30
    assert required <= pinned
