"""The report's part on evidence: images, classes and nets behind a number. Reads what `evidence` wrote. No torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vggrepro.core.paths import ROOT
from vggrepro.diagnosis.evidence import SHEET, Evidence, NetEvidence
from vggrepro.tables.numbers import printed_number

BESIDE = "../evidence/"
"""From the page to the folder of evidence."""


def evidence_section(evidence: Evidence) -> dict[str, Any]:
    """What the template needs: a line per net, and the index that `reports/evidence.js` reads."""
    return {
        "images": f"{evidence.images:,}",
        "seed": evidence.seed if evidence.seeds > 1 else None,
        "thumbnails": f"{evidence.thumbnails:,}" if evidence.thumbnails < evidence.images else "",
        "nets": [_net_row(net, evidence) for net in evidence.nets],
        "script": (ROOT / "reports" / "evidence.js").read_text(encoding="utf-8"),
        "index": {
            "beside": BESIDE,
            "images": evidence.images,
            "seed": evidence.seed if evidence.seeds > 1 else None,
            "systems": [asdict(system) for system in evidence.systems],
            "nets": [{"name": net.name, "outcomes": net.outcomes} for net in evidence.nets],
            "thumbnails": evidence.thumbnails,
            "sheet": SHEET,
        },
    }


def _net_row(net: NetEvidence, evidence: Evidence) -> dict[str, Any]:
    """A net with its errors, its calibration, and the classes that it gets wrong most and least often."""
    shares = {
        c: wrong / images
        for c, (wrong, images) in enumerate(zip(net.class_wrong, evidence.class_images, strict=True))
        if images
    }
    hardest, easiest = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    return {
        "name": net.name,
        "cell": net.cell,
        "wrong": f"{net.wrong:,}",
        "confidence": printed_number(100 * net.confidence),
        "calibration": printed_number(100 * net.calibration_error),
        "hardest": f"{evidence.classes[hardest]} ({printed_number(100 * shares[hardest])})",
        "easiest": f"{evidence.classes[easiest]} ({printed_number(100 * shares[easiest])})",
    }
