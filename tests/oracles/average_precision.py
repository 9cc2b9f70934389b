"""VOC's average precision as its development kits describe it: one recall after another."""

from __future__ import annotations

from fractions import Fraction


def curve(scores, positive):
    """(recall, precision) after each image, best first; of equal scores the earlier image first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    total, hits, points = sum(positive), 0, []
    for seen, i in enumerate(order, start=1):
        hits += bool(positive[i])
        points.append((Fraction(hits, total), Fraction(hits, seen)))
    return points


def eleven_points(scores, positive):
    points = curve(scores, positive)
    best = [max(p for r, p in points if r >= Fraction(k, 10)) for k in range(11)]
    return float(sum(best) / 11)


def area(scores, positive):
    """Under the precision that is the best at a recall or above: from the last image back to the first."""
    points, total, best = curve(scores, positive), Fraction(0), Fraction(0)
    for k in reversed(range(len(points))):
        best = max(best, points[k][1])
        total += (points[k][0] - (points[k - 1][0] if k else 0)) * best
    return float(total)
