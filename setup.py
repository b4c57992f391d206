"""Compiles the CPU kernels with the package; without a compiler the package works all the same, only slower."""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildLibrary(build_ext):
    """Builds a plain C library in the place of an extension module: Python loads it with ctypes."""

    def get_export_symbols(self, ext):
        """Nothing is named PyInit_…; what is exported, the C code says."""
        return ext.export_symbols


setup(
    ext_modules=[
        Extension(
            "subduce.kernels._cpu_kernels",
            sources=["csrc/kernels.c"],
            depends=[str(header) for header in Path("csrc").glob("*.h")],
            extra_compile_args=["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildLibrary},
)
