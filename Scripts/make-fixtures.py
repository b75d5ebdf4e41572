#!/usr/bin/env python3
"""Writes the files under Tests/Fixtures that the test suite compares with, and large checkpoints.

    python3 Scripts/make-fixtures.py             write Tests/Fixtures
    python3 Scripts/make-fixtures.py --check     write elsewhere and report what differs
    python3 Scripts/make-fixtures.py checkpoint --out DIR [--pi05] [--dtype bfloat16|float32]
                                                 write DIR/model.safetensors at full size

Runs itself inside `.venv-fixtures`, which it makes at first. Tests/Fixtures/MANIFEST.json says what
each file is, and its hash. Tests/Fixtures/golden is not made here; its README says where it is
from.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-fixtures"
FIXTURES = ROOT / "Tests" / "Fixtures"
COMMAND = "python3 Scripts/make-fixtures.py"

TORCH = "2.13.0"
PACKAGES = [
    "numpy==2.4.6",
    "safetensors==0.8.0",
    "pillow==13.0.0",
    "msgpack==1.2.4",
    "sentencepiece==0.2.3",
    "transformers==5.5.4",
    "draccus==0.11.6",
]
# Installed without what they ask for: of openpi-client the messages alone are used, which do well
# with the newer NumPy; of lerobot its policies, without robots, cameras and data sets, and they run
# on an older Python than it asks for; of mistral-common a file.
ALONE = ["openpi-client==0.1.2", "lerobot==0.6.1", "mistral-common==1.13.1"]

# One path through PyTorch's kernels, whatever the processor.
SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "PYTHONDONTWRITEBYTECODE": "1",
}

GOLDEN_SOURCE = (
    "openpi's PI0Pytorch (github.com/Physical-Intelligence/openpi, commit 15a9616a) in float32, "
    "torch 2.13.0; not made again by this script, see golden/README.md"
)


def run_inside_environment():
    """Makes the virtual environment unless it has what is asked for, and runs this script there."""
    python = ENVIRONMENT / "bin" / "python"
    if pathlib.Path(sys.prefix) == ENVIRONMENT and SETTINGS.items() <= os.environ.items():
        return
    packages = [f"torch=={TORCH}", *PACKAGES, *ALONE]
    installed = ENVIRONMENT / "installed.txt"
    if not installed.exists() or installed.read_text().split() != packages:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # PyTorch for the CPU alone where it can be had: a tenth of the size.
        small = subprocess.run([*pip, f"torch=={TORCH}+cpu"], stderr=subprocess.DEVNULL)
        if small.returncode != 0:
            print(f"no torch {TORCH}+cpu here: installing the larger torch {TORCH}", flush=True)
        subprocess.run([*pip, f"torch=={TORCH}", *PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *ALONE], check=True)
        installed.write_text("\n".join(packages) + "\n")
    os.execve(python, [python, __file__, *sys.argv[1:]], {**os.environ, **SETTINGS})


def write_fixtures(directory):
    """Writes all files into `directory`; returns the manifest."""
    import msgpack
    import numpy
    import PIL
    import safetensors
    import torch

    from fixtures import demo, example, images, layers, messages, operations, robots, tokenizers

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    made = {}
    for name, about in operations.write_operations(directory / "operations").items():
        made[f"operations/{name}"] = about
    for name, about in example.write_example(directory / "example").items():
        made[f"example/{name}"] = about
    for name, about in images.write_images(directory / "images").items():
        made[f"images/{name}"] = about
    for name, about in demo.write_demo(directory / "demo").items():
        made[f"demo/{name}"] = about
    for name, about in messages.write_messages(directory / "messages").items():
        made[f"messages/{name}"] = about
    for name, about in tokenizers.write_tokenizers(directory / "tokenizers").items():
        made[f"tokenizers/{name}"] = about
    for name, about in robots.write_robots(directory / "robots").items():
        made[f"robots/{name}"] = about
    for name, about in layers.write_layers(directory / "layers").items():
        made[f"layers/{name}"] = about

    files = {}
    for name, about in made.items():
        files[name] = described(directory / name) | about | {"command": COMMAND}
    for path in (FIXTURES / "golden").glob("*.safetensors"):
        files[f"golden/{path.name}"] = described(path) | {"source": GOLDEN_SOURCE}
    return {
        "command": COMMAND,
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__.split("+")[0],
            "numpy": numpy.__version__,
            "safetensors": safetensors.__version__,
            "pillow": PIL.__version__,
            "msgpack": ".".join(map(str, msgpack.version)),
        }
        | {
            package: importlib.metadata.version(package)
            for package in ("lerobot", "mistral-common", "sentencepiece", "transformers")
        },
        "files": dict(sorted(files.items())),
    }


def described(path):
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def check():
    """Compares the committed manifest and files with those made now; returns the exit code."""
    committed = json.loads((FIXTURES / "MANIFEST.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        now = write_fixtures(pathlib.Path(directory))
    differences = []
    for name in sorted(committed["files"].keys() | now["files"].keys()):
        path = FIXTURES / name
        expected, actual = committed["files"].get(name), now["files"].get(name)
        if expected is None:
            differences.append(f"{name}: not in the manifest")
        elif actual is None:
            differences.append(f"{name}: in the manifest, made no longer")
        elif not path.exists():
            differences.append(f"{name}: missing")
        elif expected != actual:
            differences.append(f"{name}: made now it differs: {expected} -> {actual}")
        elif described(path).items() - expected.items():
            differences.append(f"{name}: not the file that the manifest describes")
    for package, version in now["versions"].items():
        if committed["versions"][package] != version:
            print(f"note: made with {package} {committed['versions'][package]}, here {version}")
    print("\n".join(differences) or f"{len(now['files'])} files are as they would be made now")
    if differences:
        print(f"to make them again: {COMMAND}")
    return 1 if differences else 0


def write_checkpoint(path, pi05, dtype):
    from fixtures import checkpoint

    start = time.monotonic()
    parameters = checkpoint.write(path, checkpoint.full_size(pi05, dtype))
    seconds = time.monotonic() - start
    print(f"{path}: {parameters:,} parameters, {path.stat().st_size:,} bytes, {seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    commands = parser.add_subparsers(dest="command")
    checkpoint = commands.add_parser("checkpoint", help="write a full-size random checkpoint")
    checkpoint.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
    checkpoint.add_argument("--pi05", action="store_true", help="pi0.5 instead of pi0")
    checkpoint.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    arguments = parser.parse_args()
    run_inside_environment()

    if arguments.command == "checkpoint":
        write_checkpoint(arguments.out / "model.safetensors", arguments.pi05, arguments.dtype)
        return
    if arguments.check:
        sys.exit(check())
    manifest = write_fixtures(FIXTURES)
    (FIXTURES / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{len(manifest['files'])} files in {FIXTURES.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
