"""Builds the native engine against the headers and the library that the unicorn wheel ships."""

from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup


def unicorn_folder() -> Path:
    """Where the unicorn wheel is installed in the build environment."""
    spec = find_spec("unicorn")
    if spec is None or spec.origin is None:
        raise SystemExit("dejavm: the unicorn package is missing from the build requirements")
    return Path(spec.origin).parent


UNICORN = unicorn_folder()
FLAGS = ("-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra")

setup(
    ext_modules=[
        # No module: cpu_node/__init__.py loads it in front of unicorn's library.
        Extension("cpu_node._exits", sources=["cpu_node/arch/riscv64/exits.c"], extra_compile_args=[*FLAGS]),
        Extension(
            "cpu_node._engine",
            sources=[
                "cpu_node/native/engine.c",
                "cpu_node/native/core.c",
                "cpu_node/native/count.c",
                "cpu_node/native/code.c",
                "cpu_node/native/cover.c",
                "cpu_node/native/run.c",
                "cpu_node/native/bus.c",
                "cpu_node/native/state.c",
                "cpu_node/native/watch.c",
                "cpu_node/native/points.c",
                "cpu_node/native/watchpoints.c",
                "cpu_node/arch/riscv64/blocks.c",
                "cpu_node/arch/riscv64/riscv64.c",
            ],
            depends=["cpu_node/native/engine.h", "cpu_node/arch/riscv64/riscv64.h"],
            include_dirs=[str(UNICORN / "include")],
            # By file name: the library's SONAME then finds the copy that cpu_node/__init__.py has loaded.
            extra_link_args=[str(UNICORN / "lib" / "libunicorn.so.2")],
            extra_compile_args=[*FLAGS],
        ),
    ]
)
