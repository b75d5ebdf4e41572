"""What the comparisons need: packages, pi0, a checkpoint of full size, inputs."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv-benchmark"
WORK = ROOT / ".build-benchmark"

TORCH = "torch==2.13.0"
PACKAGES = [
    "numpy==2.4.6", "safetensors==0.8.0", "transformers==5.5.4", "filelock", "typing-extensions",
    "sympy", "networkx", "jinja2", "fsspec",
]
# Without what it depends on: of all that, its pi0 classes need PyTorch and transformers alone.
LEROBOT = "lerobot==0.6.0"


def run_inside(script):
    """Makes the virtual environment unless it is there, and runs this script in it."""
    if pathlib.Path(sys.prefix) == ENVIRONMENT:
        return
    python = ENVIRONMENT / "bin" / "python"
    installed = ENVIRONMENT / "installed.txt"
    wanted = [TORCH, *PACKAGES, LEROBOT]
    if not installed.exists() or installed.read_text().split() != wanted:
        print("installing PyTorch and lerobot into .venv-benchmark", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # PyTorch for the CPU alone where it can be had: a tenth of the size.
        small = subprocess.run([*pip, "--no-deps", TORCH + "+cpu"], stderr=subprocess.DEVNULL)
        if small.returncode != 0:
            subprocess.run([*pip, TORCH], check=True)
        subprocess.run([*pip, *PACKAGES], check=True)
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", LEROBOT], check=True)
        installed.write_text("\n".join(wanted) + "\n")
    os.execv(python, [python, script, *sys.argv[1:]])


def build():
    """The path of pi0, built in release."""
    subprocess.run([ROOT / "Scripts/install-requirements"], check=True, stdout=sys.stderr)
    command = ["swift", "build", "-c", "release", "--product", "pi0"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    folder = subprocess.run(
        [*command, "--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    return pathlib.Path(folder.stdout.strip()) / "pi0"


def versions():
    """Of what pi0 is compared with."""
    return ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "transformers", "lerobot"))


def checkpoint(depth=None, vision=None, pi05=False):
    """A random policy of full size in bfloat16, written once, pi0 or pi0.5; with `depth`, language model and
    expert of so many layers, with `vision` the vision tower."""
    from fixtures import checkpoint as random

    name = "full" if depth is None else f"depth-{depth}"
    if vision is not None:
        name += f"-vision-{vision}"
    if pi05:
        name = f"pi05-{name}"
    path = WORK / name / "model.safetensors"
    if not path.exists():
        print(f"writing {path}", file=sys.stderr)
        sizes = random.full_size(pi05, "bfloat16")
        if depth is not None:
            sizes["vlm"]["depth"] = sizes["expert"]["depth"] = depth
        if vision is not None:
            sizes["vis_depth"] = vision
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        random.write(unfinished, sizes)
        unfinished.rename(path)
    return path


def read_through(path):
    """Has the system keep the file in memory, as far as it can."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def inputs():
    """What both sides are given: pictures, image features, a prompt, state, noise, velocity."""
    import numpy
    from safetensors.numpy import save_file

    generator = numpy.random.default_rng(7)

    def normal(*shape):
        return generator.standard_normal(shape, dtype=numpy.float32)

    pixels = [generator.integers(0, 256, (224, 224, 3), dtype=numpy.uint8) for _ in range(3)]
    tensors = {f"pixels.{i}": pixels[i] for i in range(3)}
    # Contiguous, or safetensors writes the values in the order they have in memory.
    tensors |= {
        f"image.{i}": (numpy.ascontiguousarray(pixels[i].transpose(2, 0, 1)[None], numpy.float32)
                       / numpy.float32(255) * numpy.float32(2) - numpy.float32(1))
        for i in range(3)}
    tensors |= {f"features.{i}": normal(1, 256, 2048) for i in range(3)}
    tensors["tokens"] = generator.integers(3, 250_000, (1, 48)).astype(numpy.int32)
    tensors["state"] = normal(1, 32)
    tensors["noise"] = normal(1, 50, 32)
    tensors["velocity"] = normal(1, 50, 32)
    tensors["time"] = numpy.array([0.5], numpy.float32)
    path = WORK / "inputs.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path)
    return path


def machine():
    """{what: value} that tells this machine from others."""
    processor = next(
        line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    memory = int(next(line for line in open("/proc/meminfo")).split()[1]) / 2**20
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [
            name for name in ["avx2", "avx512f", "avx512_bf16", "amx_bf16"] if name in flags],
        "memory": f"{memory:.1f} GiB",
        "system": " ".join(os.uname()[i] for i in (0, 2, 4)),
    }
