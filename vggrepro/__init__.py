"""vggrepro: every table of Simonyan & Zisserman (arXiv:1409.1556), re-made and held beside the published one."""

import os

# torch asks for it when it first needs much memory: in pages of 2 MB what a CPU's layers write costs a fifth of the time
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
