"""The paper's runs, evaluations and cells, typed a second time from the paper itself.

A cell is written as it is printed: `**25.5**` is bold, `-` a dash, `<` the continuation of the cell to its left.
"""

from vggrepro.paper.tables import published_table

# PAPER 3.1: run -> the run it is initialised from. PAPER 4.4: the jittered D of the submission moved its FC layers only.
# PAPER A.1: a net that predicts boxes begins as the classification net of its scale.
PARENTS = {
    "A_256_s0": None,
    "A-LRN_256_s0": None,
    "B_256_s0": "A_256_s0",
    "B-5x5_256_s0": "A_256_s0",
    "C_256_s0": "A_256_s0",
    "C_384_s0": "C_256_s0",
    "C_256-512_s0": "C_384_s0",
    "D_256_s0": "A_256_s0",
    "D_384_s0": "D_256_s0",
    "D_256-512_s0": "D_384_s0",
    "D_256-512_fc_s0": "D_384_s0",
    "E_256_s0": "A_256_s0",
    "E_384_s0": "E_256_s0",
    "E_256-512_s0": "E_384_s0",
    "D_384_scr_fc_s0": "D_384_s0",
    "D_384_pcr_fc_s0": "D_384_s0",
    "D_384_pcr_s0": "D_384_s0",
    "D_256_pcr_s0": "D_256_s0",
}

SUBMISSION = """
    D_256/dense/224,256,288 D_384/dense/352,384,416 D_256-512_fc/dense/256,384,512
    C_256/dense/224,256,288 C_384/dense/352,384,416 E_256/dense/224,256,288 E_384/dense/352,384,416
"""
TWO_NETS = """
    D_256-512/dense/256,384,512 D_256-512/multi-crop/256,384,512
    E_256-512/dense/256,384,512 E_256-512/multi-crop/256,384,512
"""
EVALUATIONS = {
    "3": """
        A_256/dense/256 A-LRN_256/dense/256 B_256/dense/256
        C_256/dense/256 C_384/dense/384 C_256-512/dense/384
        D_256/dense/256 D_384/dense/384 D_256-512/dense/384
        E_256/dense/256 E_384/dense/384 E_256-512/dense/384
    """,
    "4": """
        B_256/dense/224,256,288
        C_256/dense/224,256,288 C_384/dense/352,384,416 C_256-512/dense/256,384,512
        D_256/dense/224,256,288 D_384/dense/352,384,416 D_256-512/dense/256,384,512
        E_256/dense/224,256,288 E_384/dense/352,384,416 E_256-512/dense/256,384,512
    """,
    "5": TWO_NETS,
    "6": SUBMISSION + TWO_NETS,
    "7": SUBMISSION + TWO_NETS,
    "8": "D_384_scr_fc/centre-crop/384 D_384_pcr_fc/centre-crop/384 D_384_pcr/centre-crop/384",
    "9": "D_256_pcr/dense/256 D_384_pcr/dense/352,384",
    "10": "D_256_pcr/dense/256 D_384_pcr/dense/352,384",
    "text": "B-5x5_256/centre-crop/256 B_256/centre-crop/256 E_256-512/dense/256,384,512",
}

# Table -> the key columns that name a row here, and its rows: name | cell | cell ...
PRINTED = {
    "3": (
        "net S Q protocol",
        "A 256 256 dense | 29.6 | 10.4",
        "A-LRN 256 256 dense | 29.7 | 10.5",
        "B 256 256 dense | 28.7 | 9.9",
        "C 256 256 dense | 28.1 | 9.4",
        "C 384 384 dense | 28.1 | 9.3",
        "C [256;512] 384 dense | 27.3 | 8.8",
        "D 256 256 dense | 27.0 | 8.8",
        "D 384 384 dense | 26.8 | 8.7",
        "D [256;512] 384 dense | 25.6 | 8.1",
        "E 256 256 dense | 27.3 | 9.0",
        "E 384 384 dense | 26.9 | 8.7",
        "E [256;512] 384 dense | **25.5** | **8.0**",
    ),
    "4": (
        "net S Q protocol",
        "B 256 224,256,288 dense | 28.2 | 9.6",
        "C 256 224,256,288 dense | 27.7 | 9.2",
        "C 384 352,384,416 dense | 27.8 | 9.2",
        "C [256;512] 256,384,512 dense | 26.3 | 8.2",
        "D 256 224,256,288 dense | 26.6 | 8.6",
        "D 384 352,384,416 dense | 26.5 | 8.6",
        "D [256;512] 256,384,512 dense | **24.8** | **7.5**",
        "E 256 224,256,288 dense | 26.9 | 8.7",
        "E 384 352,384,416 dense | 26.7 | 8.6",
        "E [256;512] 256,384,512 dense | **24.8** | **7.5**",
    ),
    "5": (
        "net S Q protocol",
        "D [256;512] 256,384,512 dense | 24.8 | 7.5",
        "D [256;512] 256,384,512 multi-crop | 24.6 | 7.5",
        "D [256;512] 256,384,512 multi-crop & dense | **24.4** | **7.2**",
        "E [256;512] 256,384,512 dense | 24.8 | 7.5",
        "E [256;512] 256,384,512 multi-crop | 24.6 | 7.4",
        "E [256;512] 256,384,512 multi-crop & dense | **24.4** | **7.1**",
    ),
    "6": (
        "group protocol",
        "ILSVRC submission dense | 24.7 | 7.5 | 7.3",
        "post-submission dense | 24.0 | 7.1 | 7.0",
        "post-submission multi-crop | 23.9 | 7.2 | -",
        "post-submission multi-crop & dense | **23.7** | **6.8** | **6.8**",
    ),
    "7": (
        "method",
        "VGG (2 nets, multi-crop & dense) | **23.7** | **6.8** | **6.8**",
        "VGG (1 net, multi-crop & dense) | 24.4 | 7.1 | 7.0",
        "VGG (ILSVRC submission, 7 nets, dense) | 24.7 | 7.5 | 7.3",
        "GoogLeNet (Szegedy et al., 2014) (1 net) | - | 7.9 | <",
        "GoogLeNet (Szegedy et al., 2014) (7 nets) | - | **6.7** | <",
        "MSRA (He et al., 2014) (11 nets) | - | - | 8.1",
        "MSRA (He et al., 2014) (1 net) | 27.9 | 9.1 | 9.1",
        "Clarifai (Russakovsky et al., 2014) (multiple nets) | - | - | 11.7",
        "Clarifai (Russakovsky et al., 2014) (1 net) | - | - | 12.5",
        "Zeiler & Fergus (2013) (6 nets) | 36.0 | 14.7 | 14.8",
        "Zeiler & Fergus (2013) (1 net) | 37.5 | 16.0 | 16.1",
        "OverFeat (Sermanet et al., 2014) (7 nets) | 34.0 | 13.2 | 13.6",
        "OverFeat (Sermanet et al., 2014) (1 net) | 35.7 | 14.2 | -",
        "Krizhevsky et al. (2012) (5 nets) | 38.1 | 16.4 | 16.4",
        "Krizhevsky et al. (2012) (1 net) | 40.7 | 18.2 | -",
    ),
    "8": (
        "net S Q protocol layers objective",
        "D 384 384 centre-crop fc SCR | 36.4",
        "D 384 384 centre-crop fc PCR | 34.3",
        "D 384 384 centre-crop all PCR | **33.1**",
    ),
    "9": (
        "systems protocol objective layers",
        "D/256/256 dense PCR all | 29.5 | -",
        "D/384/384 dense PCR all | 28.2 | 26.7",
        "D/384/352,384 dense PCR all | 27.5 | -",
        "D/256/256 + D/384/352,384 dense PCR all | **26.9** | **25.3**",
    ),
    "10": (
        "method",
        "VGG | **26.9** | **25.3**",
        "GoogLeNet (Szegedy et al., 2014) | - | 26.7",
        "OverFeat (Sermanet et al., 2014) | 30.0 | 29.9",
        "Krizhevsky et al. (2012) | - | 34.2",
    ),
    "11": (
        "method",
        "Zeiler & Fergus (2013) | - | 79.0 | 86.5 +- 0.5 | 74.2 +- 0.3",
        "Chatfield et al. (2014) | 82.4 | 83.2 | 88.4 +- 0.6 | 77.6 +- 0.1",
        "He et al. (2014) | 82.4 | - | **93.4 +- 0.5** | -",
        "Wei et al. (2014) | 81.5 (85.2*) | 81.7 (**90.3***) | - | -",
        "VGG Net-D (16 layers) | 89.3 | 89.0 | 91.8 +- 1.0 | 85.0 +- 0.2",
        "VGG Net-E (19 layers) | 89.3 | 89.0 | 92.3 +- 0.5 | 85.1 +- 0.3",
        "VGG Net-D & Net-E | **89.7** | **89.3** | 92.7 +- 0.5 | **86.2 +- 0.3**",
    ),
    "12": (
        "method",
        "Oquab et al. (2014) | 70.2*",
        "Gkioxari et al. (2014) | 73.6",
        "Hoai (2014) | 76.3",
        "VGG Net-D & Net-E, image-only | **79.2**",
        "VGG Net-D & Net-E, image and bounding box | **84.0**",
    ),
    "text": (
        "systems minus protocol",
        "B-5x5/256/256  centre-crop | - | - | - | -",
        "B/256/256  centre-crop | - | - | - | -",
        "B-5x5/256/256 B/256/256 centre-crop | 7 | - | - | -",
        "E/[256;512]/256,384,512  dense | - | - | 7.3 | -",
        # 2.2 (OverFeat's weights), 2.3, 3.3, 4.5 (GoogLeNet), B: three or five scales, Chatfield et al. on VOC and Caltech-256
        "   | - | - | - | 144",
        "   | - | - | - | 81",
        "   | - | - | - | 3.75",
        "   | - | - | - | 0.9",
        "   | - | - | - | 0.3",
        "   | - | - | - | 6",
        "   | - | - | - | 8.6",
    ),
}
NETS_OF_TABLE_1 = ("A", "A-LRN", "B", "C", "D", "E")
STACKS = {
    "block 1": "conv3-64 | conv3-64, **LRN** | conv3-64, **conv3-64** | conv3-64 x2 | conv3-64 x2 | conv3-64 x2",
    "block 2": "conv3-128 | conv3-128 | conv3-128, **conv3-128** | conv3-128 x2 | conv3-128 x2 | conv3-128 x2",
    "block 3": "conv3-256 x2 | conv3-256 x2 | conv3-256 x2 "
    "| conv3-256 x2, **conv1-256** | conv3-256 x2, **conv3-256** | conv3-256 x3, **conv3-256**",
    "block 4": "conv3-512 x2 | conv3-512 x2 | conv3-512 x2 "
    "| conv3-512 x2, **conv1-512** | conv3-512 x2, **conv3-512** | conv3-512 x3, **conv3-512**",
    "block 5": "conv3-512 x2 | conv3-512 x2 | conv3-512 x2 "
    "| conv3-512 x2, **conv1-512** | conv3-512 x2, **conv3-512** | conv3-512 x3, **conv3-512**",
    "input": "224x224 RGB image | < | < | < | < | <",
    "pooling": "maxpool | < | < | < | < | <",
    "classifier": "FC-4096 x2, FC-1000, soft-max | < | < | < | < | <",
}
BLOCKS = [row for k in range(1, 6) for row in (f"block {k}", "pooling")]
ROWS_OF_TABLE_1 = ["weight layers", "input", *BLOCKS, "classifier"]
# Localisation and transfer: what our own rows measure, in the key columns beside the method.
OURS = {
    "10": {"VGG": "D/256/256 + D/384/352,384 dense PCR all"},
    "11": {
        "VGG Net-D (16 layers)": "D/[256;512]",
        "VGG Net-E (19 layers)": "E/[256;512]",
        "VGG Net-D & Net-E": "D/[256;512] + E/[256;512]",
    },
    "12": {
        "VGG Net-D & Net-E, image-only": "D/[256;512] + E/[256;512] image",
        "VGG Net-D & Net-E, image and bounding box": "D/[256;512] + E/[256;512] image and box",
    },
}
PARAMETERS = {"A, A-LRN": "133", "B": "133", "C": "134", "D": "138", "E": "144"}
LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}


def stores(text):
    """`D_256/dense/224,256` -> D_256_s0/dense/224 and D_256_s0/dense/256."""
    parts = [word.split("/") for word in text.split()]
    return {f"{run}_s0/{protocol}/{q}" for run, protocol, scales in parts for q in scales.split(",")}


def names(runs):
    return [run.name for run in runs]


def paths(evaluations):
    return [evaluation.path for evaluation in evaluations]


def named(number, **keys):
    """The first row of a table with these key columns."""
    return next(row for row in published_table(number).rows if keys.items() <= row.keys.items())
