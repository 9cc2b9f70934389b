"""How much a file of others may ask for: what a header says is held against these numbers before it is believed. No torch.

Each is several times what an honest file has, so that a number beyond it is a mistake or an attack.
"""

from __future__ import annotations

PIXELS = 100_000_000
"""Of an image. The largest of ILSVRC has 61 million; decoding takes twelve bytes a pixel."""
SCANS = 200
"""Of a JPEG, which is decoded as a whole in each of them; an encoder writes ten at most."""
FILE_BYTES = 1 << 29
"""Of a file that is read as a whole: an image, an annotation, a list."""
TEXT_BYTES = 1 << 27
"""Of a text that is taken apart into lines. The boxes of ILSVRC's training images are a list of 40 MB."""
LINE_BYTES = 1 << 24
"""Of a line; the names of 1,000 columns take 20 kB."""
UNPACKED_BYTES = 1 << 30
"""Of all files of a compressed archive that is kept in memory. ILSVRC's training boxes are 270 MB."""
MEMBERS = 3_000_000
"""Files in an archive. ILSVRC has 1.3 million images, and half a million annotations."""
CRATE_BYTES = 1 << 33
"""Of all files of a citable bundle, unpacked. A bundle of all tables has 100 MB."""
PACK_BYTES = 1 << 40
"""Of all files of a pack, unpacked. All runs of the paper with their weights have 30 GB, dense boxes several times that."""
PACK_RATIO, PACK_SMALL = 100, 1 << 24
"""Bytes that a byte of a pack may become, beyond a few megabytes. Scores become 1.2, records ten."""
PACKED_TEXT_BYTES = 1 << 26
"""Of a file of a pack that is no array: a record, a list, a table. The ids of ILSVRC's validation images have 1.5 MB."""
ARRAY_BYTES = 1 << 30
"""Of an array that is read into memory. 1,000 posteriors of 100,000 images in double precision are 0.8 GB."""
NET_BYTES = 1 << 32
"""Of the file of a released net. VGG-19 has 0.6 GB; twice that in double precision, three times with an optimiser's state."""
DOWNLOAD_BYTES = 1 << 33
"""Of a file that is fetched and of which nobody says how long it is. VOC-2012 is the longest of those known, with 2 GB."""
RECORD_BYTES = 1 << 28
"""Of a JSON file. The packed scores of ILSVRC in a report's what-if are the largest."""
UNPACKED_RATIO = 30
"""Bytes that a byte of a packed file of MATLAB may become. Weights hardly shrink; those of a net with mostly zeros by ten."""
