"""Makes what main.py needs in .mesh/python/{{name}}: packages in venv/, generated code in gen/."""

import subprocess
import venv
from pathlib import Path

SERVICE = Path(__file__).resolve().parent
ROOT = SERVICE.parent.parent
PLACE = ROOT / ".mesh" / "python" / "{{name}}"
PYTHON = PLACE / "venv" / "bin" / "python"
# Contracts of other services that this one calls belong here, too.
CONTRACTS = ["{{name}}/v1/{{name}}_service.proto", "buf/validate/validate.proto", "mesh/v1/options.proto"]


def install():
    wanted = (SERVICE / "requirements.txt").read_text()
    installed = PLACE / "requirements.txt"
    if installed.is_file() and installed.read_text() == wanted:
        return
    venv.create(PLACE / "venv", with_pip=True, clear=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "-r", SERVICE / "requirements.txt"], check=True)
    # Last: a half-made venv is made again.
    installed.write_text(wanted)


def generate():
    gen = PLACE / "gen"
    gen.mkdir(exist_ok=True)
    roots = [ROOT / "proto", ROOT / "third_party"]
    command = [PYTHON, "-m", "grpc_tools.protoc", f"--python_out={gen}", f"--grpc_python_out={gen}"]
    subprocess.run([*command, *(f"-I{root}" for root in roots), *CONTRACTS], check=True)


if __name__ == "__main__":
    PLACE.mkdir(parents=True, exist_ok=True)
    install()
    generate()
