"""What pyproject.toml cannot say: the specs are put into the package that is installed.

In the sources they lie beside it, where people look for them; see `pixelflow.core.shipped`.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithSpecs(build_py):
    """Also copies specs/ into the package, but for an editable install, which is the sources themselves."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("specs", Path(self.build_lib, "pixelflow/specs"), dirs_exist_ok=True)


setup(cmdclass={"build_py": WithSpecs})
