"""The two lists of dependencies say the same, the pins satisfy them, and csi_utils is ours."""

import pathlib
import re
import tomllib

import yaml
from packaging.requirements import Requirement

import csi_utils

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"pytorch": "torch"}  # where conda-forge uses another name
EXTRAS = [name for name in PROJECT["optional-dependencies"] if name not in ("test", "capture")]


def wanted(*extras):
    lines = PROJECT["dependencies"] + [line for name in extras for line in PROJECT["optional-dependencies"][name]]
    return {r.name: str(r.specifier) for r in map(Requirement, lines)}


def test_environment_yml_has_the_dependencies_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda, [pip] = {}, [entry["pip"] for entry in listed if isinstance(entry, dict)]
    for entry in [*listed, *pip]:
        if isinstance(entry, str) and not entry.startswith("-e "):
            name, _, version = re.match(r"([\w.-]+)((?:>=)(.*))?", entry).group(1, 2, 3)
            conda[CONDA_NAMES.get(name, name)] = f">={version}" if version else ""
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda.pop("pip") == ""
    assert conda == wanted("test")
    assert f"-e .[{','.join(EXTRAS)}]" in pip


def test_the_verified_set_pins_every_dependency_within_its_range():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            pins[requirement.name.lower()] = next(iter(requirement.specifier)).version
    for name, specifier in wanted("test", *EXTRAS).items():
        assert name in pins, f"constraints.txt does not pin {name}"
        assert Requirement(name + specifier).specifier.contains(pins[name]), f"{name} {pins[name]} not in {specifier}"
    assert pins["torch"].startswith("2.13.0")


def test_csi_utils_is_ours_and_not_the_stranger_of_that_name():
    assert pathlib.Path(csi_utils.__file__).resolve() == ROOT / "csi_utils" / "__init__.py"
