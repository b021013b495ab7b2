"""Run by `scripts/wheel check` with the Python of a clean environment: the wheel alone, without Rust."""

import shutil
import subprocess
import sys
from pathlib import Path

import folkmoot
import folkmoot.testing

assert shutil.which("cargo") is None, "Rust is to be out of reach here"
program = Path(sys.prefix) / "bin" / "folkmoot"
version = subprocess.run([sys.executable, "-m", "folkmoot", "version"], check=True, capture_output=True, text=True).stdout
assert program.is_file() and version == subprocess.check_output([str(program), "version"], text=True), version

with folkmoot.testing.cluster(nodes=1) as cluster:
    with folkmoot.connect(cluster.nodes[0].address) as moot:
        assert [member.status for member in moot.members()] == ["alive"]
        numbers = moot.dict("numbers")
        numbers["one"] = 1
        assert dict(numbers) == {"one": 1}
        with moot.lock("door") as held:
            assert held.token > 0

size = sum(file.stat().st_size for file in Path(folkmoot.__file__).parent.rglob("*") if file.is_file())
print(f"{sys.version.split()[0]}: ok, package of {size // 1024} KiB, {version.splitlines()[0]}")
