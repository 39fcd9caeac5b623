"""The compilers that turn a guest's source into WebAssembly, and where each of them comes from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ZIG_VERSION = "0.16.0"
"""The language still changes between releases, so guests are written for exactly one."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waspi"
STACK_BYTES = 65_536
"""Shadow stack of the C and Zig guests; the compilers' own default of 1 MiB is a lot of a small board's memory."""


RUST_NAMES = {"wasm32-wasip1": ("wasm32-wasip1", "wasm32-wasi")}
"""Rust 1.78 renamed wasm32-wasi to wasm32-wasip1; Debian 12 has 1.63, Debian 13 has 1.85."""


class BuildError(Exception):
    """A tool is missing or a compiler refused; the message says which package to install or what it said."""


class Toolchain(Protocol):
    """What ``build.py`` asks of a compiler. The constructor finds the tool or raises ``BuildError``."""

    def identity(self, options: dict[str, Any]) -> str:
        """Text that changes when the compiler does."""

    def inputs(self, source: Path) -> list[Path]:
        """Files whose change makes a rebuild necessary."""

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Write the module to ``out``; raises ``BuildError``."""


def run(command: Sequence[str | Path], **environment: str) -> str:
    """Run a tool; returns its stdout, raises ``BuildError`` with what it said."""
    try:
        done = subprocess.run(  # noqa: S603 - the commands are this file's own
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
    except OSError as error:
        raise BuildError(f"{command[0]} does not start: {error}") from error
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-30:])
        raise BuildError(f"{' '.join(str(part) for part in command[:2])} ended with status {done.returncode}:\n{said}")
    return done.stdout


def file_identity(*paths: Path) -> str:
    """Tell one installed compiler from the next without starting it."""
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return repr(facts)


def need(program: str, package: str) -> Path:
    """Path of a program on PATH; raises ``BuildError`` naming the apt package that has it."""
    found = shutil.which(program)
    if found is None:
        raise BuildError(f"{program} is missing: apt-get install {package}")
    return Path(found)


class Rust:
    """rustc, whichever on this machine has the WebAssembly targets; rustup's often lacks them where Debian's has."""

    def __init__(self, say: Callable[[str], None]) -> None:
        del say
        candidates = [os.environ.get("RUSTC"), shutil.which("rustc"), "/usr/bin/rustc"]
        self.sysroots: dict[Path, Path] = {}
        for candidate in dict.fromkeys(c for c in candidates if c and shutil.which(c)):
            self.sysroots[Path(candidate)] = Path(run([candidate, "--print", "sysroot"]).strip())
        self.tried = ", ".join(str(rustc) for rustc in self.sysroots) or "no rustc on PATH"

    def find(self, target: str) -> tuple[Path, str, Path]:
        """Compiler, the name that it knows the target by, and the folder of the target's standard library."""
        for rustc, sysroot in self.sysroots.items():
            for name in RUST_NAMES.get(target, (target,)):
                library = sysroot / "lib" / "rustlib" / name / "lib"
                if any(library.glob("libcore-*.rlib")):
                    return rustc, name, library
        raise BuildError(
            f"no rustc here has the target {target} ({self.tried}): apt-get install rustc libstd-rust-dev-wasm32 lld, "
            f"or rustup target add {target}"
        )

    def identity(self, options: dict[str, Any]) -> str:
        """Compiler, target's name and standard library."""
        rustc, name, library = self.find(options["target"])
        compiler = self.sysroots[rustc] / "bin" / "rustc"
        return name + file_identity(compiler if compiler.exists() else rustc, next(library.glob("libcore-*.rlib")))

    def inputs(self, source: Path) -> list[Path]:
        """The crate's modules stand beside its root."""
        return sorted(source.parent.glob("*.rs"))

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Optimise for size; no name of this machine's folders in the module."""
        rustc, name, _ = self.find(options["target"])
        flags = [
            "-C",
            "opt-level=s",
            "-C",
            "lto=fat",
            "-C",
            "panic=abort",
            "-C",
            "codegen-units=1",
            "-C",
            "strip=symbols",
        ]
        remap = f"--remap-path-prefix={source.parent}={source.stem}"
        run([rustc, "--edition=2021", "--crate-type=cdylib", f"--target={name}", *flags, remap, "-o", out, source])


class Clang:
    """clang and wasm-ld without any library of C."""

    def __init__(self, say: Callable[[str], None]) -> None:
        del say
        self.clang = need("clang", "clang lld")
        self.linker = need("wasm-ld", "lld")

    def identity(self, options: dict[str, Any]) -> str:
        """Compiler and linker."""
        del options
        return file_identity(self.clang, self.linker)

    def inputs(self, source: Path) -> list[Path]:
        """The file and the headers beside it."""
        return [source, *sorted(source.parent.glob("*.h"))]

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Compile and link in two steps: clang 14 looks for a library of builtins when it links itself."""
        del options
        unit = out.with_suffix(".o")
        warn = ["-std=c17", "-Wall", "-Wextra", "-Werror"]
        run([self.clang, "--target=wasm32", "-O2", "-ffreestanding", "-nostdlib", *warn, "-c", "-o", unit, source])
        run(
            [
                self.linker,
                "--no-entry",
                "--strip-all",
                "-z",
                f"stack-size={STACK_BYTES}",
                "--stack-first",
                "-o",
                out,
                unit,
            ]
        )


class QuickJs(Clang):
    """The JavaScript engine: QuickJS-ng's C source from a pinned crate, our C beside ``engine.c``, wasi-libc."""

    PACKAGES = "clang lld wasi-libc libclang-rt-dev-wasm32"
    UNITS = ("dtoa", "libregexp", "libunicode")
    """Of QuickJS' files those that are compiled as they are; ``quickjs_unit.c`` includes ``quickjs.c``."""
    STACK_BYTES = 262_144

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self.cargo = need("cargo", "cargo")
        self.libc = Path("/usr/lib/wasm32-wasi/libc.a")
        self.builtins = Path(run([self.clang, "--target=wasm32-wasi", "-print-libgcc-file-name"]).strip())
        for part in (self.libc, self.builtins):
            if not part.exists():
                raise BuildError(f"{part} is missing: apt-get install {self.PACKAGES}")

    def identity(self, options: dict[str, Any]) -> str:
        """Compiler, linker, library of C, builtins."""
        return super().identity(options) + file_identity(self.libc, self.builtins)

    def inputs(self, source: Path) -> list[Path]:
        """All C of the folder, and the lock file, which has the checksum of QuickJS' source."""
        return [*sorted(source.parent.glob("*.[ch]")), source.parent / "Cargo.toml", source.parent / "Cargo.lock"]

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Compile the units, as many at a time as there are processors, and link a WASI reactor."""
        del options
        upstream = self._upstream(source.parent)
        ours = [(unit, ["-Wall", "-Wextra", "-Werror"]) for unit in sorted(source.parent.glob("*.c"))]
        theirs = [(upstream / f"{name}.c", ["-w"]) for name in self.UNITS]
        ours = [(unit, ["-w"] if unit.stem == "quickjs_unit" else warn) for unit, warn in ours]
        common = ["--target=wasm32-wasi", "-O2", "-std=gnu11", "-DNDEBUG", "-D_GNU_SOURCE", "-isystem", upstream]
        remap = [f"-ffile-prefix-map={upstream}=quickjs", f"-ffile-prefix-map={source.parent}=javascript"]

        def make(unit: tuple[Path, list[str]]) -> Path:
            made = out.with_name(f"{unit[0].stem}.o")
            run([self.clang, *common, *remap, *unit[1], "-c", "-o", made, unit[0]])
            return made

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            made = list(pool.map(make, [*ours, *theirs]))
        shape = ["--stack-first", "-z", f"stack-size={self.STACK_BYTES}", "--strip-all"]
        link = ["--target=wasm32-wasi", "-mexec-model=reactor", f"-Wl,{','.join(shape)}"]
        run([self.clang, *link, "-o", out, *made])

    def version(self, source: Path) -> str:
        """Name and version of the engine, as its header has them."""
        header = (self._upstream(source.parent) / "quickjs.h").read_text()
        found = re.findall(r"#define QJS_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
        return f"quickjs-ng {'.'.join(found)}"

    def _upstream(self, folder: Path) -> Path:
        """Where cargo has put QuickJS' source; it fetches it once and checks the lock file's checksum."""
        command = [self.cargo, "metadata", "--locked", "--format-version", "1"]
        packages = json.loads(run([*command, "--manifest-path", folder / "Cargo.toml"]))["packages"]
        return next(Path(p["manifest_path"]).parent / "quickjs" for p in packages if p["name"] == "rquickjs-sys")


class Zig:
    """Zig of the pinned version: ``$ZIG``, this Python's ``ziglang``, or one that pip puts into the cache."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.zig = self._chosen() or self._installed() or self._cached(say)

    @staticmethod
    def _chosen() -> Path | None:
        chosen = os.environ.get("ZIG") or shutil.which("zig")
        return Path(chosen) if chosen and run([chosen, "version"]).strip() == ZIG_VERSION else None

    @staticmethod
    def _installed() -> Path | None:
        try:
            installed = importlib.metadata.version("ziglang") == ZIG_VERSION
        except importlib.metadata.PackageNotFoundError:
            return None
        spec = importlib.util.find_spec("ziglang")
        return Path(spec.origin).parent / "zig" if installed and spec and spec.origin else None

    @staticmethod
    def _cached(say: Callable[[str], None]) -> Path:
        home = CACHE / f"ziglang-{ZIG_VERSION}"
        zig = home / "ziglang" / "zig"
        if zig.exists():
            return zig
        if importlib.util.find_spec("pip") is None:
            raise BuildError(
                f"zig {ZIG_VERSION} is missing, and pip too, which could fetch it: apt-get install python3-pip"
            )
        say(f"fetching ziglang {ZIG_VERSION} from PyPI into {home} (once, about 100 MB)")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
            run([*pip, "--target", Path(scratch) / "new", f"ziglang=={ZIG_VERSION}"])
            if not zig.exists():  # another build may have been faster
                (Path(scratch) / "new").rename(home)
        return zig

    def identity(self, options: dict[str, Any]) -> str:
        """The compiler."""
        del options
        return file_identity(self.zig)

    def inputs(self, source: Path) -> list[Path]:
        """All Zig files of the folder may be imported."""
        return sorted(source.parent.glob("*.zig"))

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Build a module without entry point, or a WASI reactor (exports ``_initialize``)."""
        kind = ["-mexec-model=reactor"] if options.get("reactor") else ["-fno-entry"]
        shape = ["-rdynamic", "-O", "ReleaseSmall", "-fstrip", "--stack", str(STACK_BYTES)]
        command = [self.zig, "build-exe", source, "-target", options["target"], *kind, *shape, f"-femit-bin={out}"]
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig"), "ZIG_LOCAL_CACHE_DIR": str(CACHE / "zig")}
        run(command, **caches)


class AssemblyScript:
    """asc, at the version that ``package-lock.json`` beside the source pins."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.node = need("node", "nodejs")
        self.npm = need("npm", "npm")

    def identity(self, options: dict[str, Any]) -> str:
        """The interpreter; the compiler itself is pinned by the lock file, which is an input."""
        del options
        return file_identity(self.node)

    def inputs(self, source: Path) -> list[Path]:
        """Source, configuration and lock."""
        return [source, *(source.parent / name for name in ("asconfig.json", "package.json", "package-lock.json"))]

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Install what the lock says when that was not done yet, then compile."""
        del options
        folder = source.parent
        asc = folder / "node_modules" / "assemblyscript" / "bin" / "asc.js"
        mark = folder / "node_modules" / ".locked"
        lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
        if not asc.exists() or not mark.exists() or mark.read_text() != lock:
            self.say("fetching AssemblyScript from npm (once)")
            run([self.npm, "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"])
            mark.write_text(lock)
        run([self.node, asc, source, "--config", folder / "asconfig.json", "--outFile", out])


class Wabt:
    """wat2wasm."""

    def __init__(self, say: Callable[[str], None]) -> None:
        del say
        self.wat2wasm = need("wat2wasm", "wabt")

    def identity(self, options: dict[str, Any]) -> str:
        """The translator."""
        del options
        return file_identity(self.wat2wasm)

    def inputs(self, source: Path) -> list[Path]:
        """One file, one module."""
        return [source]

    def compile(self, source: Path, out: Path, options: dict[str, Any]) -> None:
        """Translate; ``flags`` switches features on, or validation off where a module is meant to be invalid."""
        run([self.wat2wasm, *options.get("flags", []), "-o", out, source])


TOOLCHAINS: dict[str, Callable[[Callable[[str], None]], Toolchain]] = {
    "rust": Rust,
    "clang": Clang,
    "quickjs": QuickJs,
    "zig": Zig,
    "assemblyscript": AssemblyScript,
    "wabt": Wabt,
}
