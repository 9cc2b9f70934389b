"""vggrepro: every table of Simonyan & Zisserman (arXiv:1409.1556), re-made and held beside the published one."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("vggrepro")
except PackageNotFoundError:  # read from a checkout that is not installed
    __version__ = "unknown"
