"""Packages; everything else stands in pyproject.toml.

The recipes lie at flags/ in the repository and in the package once installed.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tf_simclr*"]), "tf_simclr.flags"],
    package_dir={"tf_simclr.flags": "flags"},
    package_data={
        "tf_simclr": ["py.typed"],
        "tf_simclr.flags": ["*.cfg"],
        "tf_simclr.labels.page": ["*.html", "*.css", "*.js"],
    },
)
