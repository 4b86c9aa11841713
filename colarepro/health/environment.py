"""Versions, devices, permissions, and room."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from pathlib import Path

import torch
from packaging.requirements import Requirement

from colarepro.files import cache_folder
from colarepro.health.finding import Finding

ABOUT = "environment"
ROOM = 1e9  # bytes: some ten thousand records, or the checkpoints of a run on a small model


def check_environment(folder: Path) -> list[Finding]:
    """What runs into ``folder`` would meet; writes nothing that stays."""
    places = {"records": folder, "cache": cache_folder()}
    return [
        *_versions(importlib.metadata.requires("colarepro") or []),
        *_devices(),
        *(finding for name, place in places.items() for finding in _place(name, place)),
    ]


def _versions(requirements: list[str]) -> list[Finding]:
    """Installed versions against the ranges that the package was installed with, its extras left out."""
    findings, fine = [], 0
    for line in requirements:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(ABOUT, "wrong", f"{wanted.name} is not installed; expected {wanted}."))
            continue
        if wanted.specifier.contains(found, prereleases=True):
            fine += 1
        else:
            findings.append(Finding(ABOUT, "wrong", f"{wanted.name} is {found}; expected {wanted.specifier}."))
    python = platform.python_version()
    return [*findings, Finding(ABOUT, "fine", f"Python {python}, and {fine} packages of versions that are supported.")]


def _devices() -> list[Finding]:
    names = [f"cpu ({os.cpu_count()} cores, {torch.get_num_threads()} threads)"]
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        names.append(f"cuda:{number} ({device.name}, {device.total_memory / 2**30:.0f} GiB)")
    return [Finding(ABOUT, "fine", f"torch {torch.__version__} sees {', '.join(names)}.")]


def _place(name: str, place: Path) -> list[Finding]:
    """Whether a folder, or the nearest above it that exists, can be written to and has room."""
    there = next(each for each in (place, *place.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [Finding(ABOUT, "wrong", f"The {name} folder {place} cannot be written to: {error.strerror}.")]
    free = shutil.disk_usage(there).free
    said = f"The {name} folder {place} can be written to and has {free / 1e9:.1f} GB free"
    if free < ROOM:
        return [Finding(ABOUT, "wrong", f"{said}; expected at least {ROOM / 1e9:.0f}.")]
    return [Finding(ABOUT, "fine", f"{said}.")]
