"""The columns of the tidy data that is exported: `cells`, `sources` and `claims`. No torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class TidyRecord(BaseModel):
    """A row of tidy data; the docstring under a field is the column's description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class CellRecord(TidyRecord):
    """A cell of a table: the published value, ours beside it, and how far apart they are. Errors are in per cent."""

    cell: str
    """Its id: table, row and column, counted from 1. In the report it is the cell's anchor."""
    table: str
    """Number of the table; `text` for the numbers that the paper prints in its text."""
    keys: str
    """JSON object: the key columns of the row in `tables/published/`, as printed there."""
    net: str
    """The net of the row; empty in rows of several nets, or of none."""
    S: str
    """Its training scale, as printed."""
    Q: str
    """Its test scales, as printed."""
    protocol: str
    """How it was evaluated, as printed; empty where the table has one protocol."""
    column: str
    """Heading of the column."""
    quantity: str
    """What is measured: top-1, top-5, localisation, a task of transfer, layers, parameters."""
    status: str
    """`measured`, `withheld` (labels), `quoted` (another paper's), `not reported` (a dash in the paper), `not run`, `spanned`
    (part of the cell on its left), `undefined`."""
    split: str
    """What ours is measured on: `val`, `test`, or other labels or images, such as `ReaL`. Empty where ours is not measured."""
    paper: str
    """The published value as printed, without the marks for bold."""
    paper_value: float | None
    """The printed number, the first if there are two."""
    paper_split: str
    """What it is of, in the same words; `withheld` where an evaluation server holds the test labels. Where it is not `split`,
    nothing is subtracted."""
    paper_bold: bool
    """Whether it is printed in bold."""
    paper_rounding: float | None
    """Half a unit of its last printed digit."""
    value: float | None
    """Ours: the mean over seeds, and over splits where there are several."""
    text: str
    """Ours in Table 1, whose cells are layers."""
    low: float | None
    """Lower end of its 95% interval."""
    high: float | None
    """Upper end."""
    delta: float | None
    """Ours less the published value."""
    delta_low: float | None
    """Lower end of its 95% interval, the rounding of the printed number included."""
    delta_high: float | None
    """Upper end."""
    delta_low_90: float | None
    """Lower end of its 90% interval, rounding not included: with both ends within the tolerance, the two numbers agree."""
    delta_high_90: float | None
    """Upper end."""
    verdict: str
    """`agrees`, `differs`, `inconclusive`; `other data` or `other settings` where it cannot be compared with the paper's;
    empty in a cell without a delta."""
    tolerance: float | None
    """How far ours may be from the published number and agree with it, the rounding of that number included."""
    minimum_detectable_difference: float | None
    """The smallest true difference that would be found to differ with 80% power."""
    best: bool
    """Whether ours is the best of its column, or of its group of rows where the paper marks groups."""
    deviations: str
    """Rules of `tables/protocol.yaml` that what made ours departs from, with spaces between."""
    choices: str
    """The same of choices, where the paper is unspecified, that are not the default."""
    n: int | None
    """Images, or persons, that were judged."""
    seeds: int | None
    """Trainings that the value is a mean over."""
    splits: int | None
    """Random splits that it is a mean over, where there are several."""
    spread: float | None
    """Standard deviation over seeds, or over splits where there are several."""
    evaluations: str
    """Paths, below the folder of results, of what it was made from, with spaces between; `sources` has a row for each."""
    weights: str
    """SHA-256 of the weights that made it, with spaces between."""
    data: str
    """Digest of the images that were judged."""
    commit: str
    """Commits of the code that made its sources, with spaces between."""


class SourceRecord(TidyRecord):
    """A result that a cell was made from: an evaluation, boxes, or what SVMs scored."""

    cell: str
    """Id of the cell."""
    path: str
    """Where it lies below the folder of results."""
    weight: float | None
    """Its share of the average of posteriors; none where boxes are pooled, or SVMs were trained."""
    less: bool
    """Whether it belongs to the system that is subtracted, where the paper prints a difference."""
    runs: str
    """The trainings whose weights made it, with spaces between."""
    protocol: str
    """dense, multi-crop or centre-crop; empty for SVMs."""
    Q: int | None
    """Test scale; none for SVMs, whose features are of several."""
    weights: str
    """SHA-256 of the weights, with spaces between."""
    data: str
    """Digest of the images."""
    device: str
    """What computed it."""
    seconds: float | None
    """How long it took, for all scales of the run and protocol together."""
    commit: str
    """Commit of the code."""
    at: str
    """When it was made."""


class ClaimRecord(TidyRecord):
    """A comparison that a claim of the paper is judged by, or a claim that is judged without one."""

    claim: str
    """Its id in `tables/claims.yaml`, or in the user's file."""
    section: str
    """Of the paper; empty for a claim of the user's."""
    says: str
    """What is claimed."""
    same_as: str
    """The id of the claim of which this is the same sentence on another quantity."""
    ours: bool
    """Whether it is not the paper's, but ours or the user's: judged apart."""
    file: str
    """Name of the user's file of claims that it is from; empty for one of `tables/claims.yaml`."""
    reference: str
    """The other labels or images that it was judged again on, such as `ReaL`; empty for the validation images themselves."""
    limits: str
    """What of the sentence cannot be judged without labels that evaluation servers hold."""
    test: str
    """superiority, ordering, non-inferiority, equivalence, arithmetic, speed, equality or cost: see `tables/claims.yaml`."""
    quantity: str
    """What is compared: top-1, top-5, localisation, a task of transfer."""
    by: float
    """The difference that is claimed, where one is."""
    margin: float
    """In points: a gain below it is smaller than claimed (superiority, ordering); else a smaller difference is none."""
    verdict: str
    """`supported`, `smaller than claimed`, `refuted`, `undecided` or `not run`: of the claim, after Holm's correction."""
    reason: str
    """Why it was not run, what decided it, or what would."""
    tested: str
    """What the two p-values are of: `gain below 0.3`."""
    p: float | None
    """Of the claim, before correction."""
    p_holm: float | None
    """Of the claim, after it."""
    decides: bool
    """Whether this is the comparison that decides the claim."""
    cell: str
    """What is claimed to be better, or as good."""
    against: str
    """What it is compared with."""
    cell_id: str
    """The first as in `cells`; of results that are not shown, its table; of speed, `trainings`."""
    against_id: str
    """The second."""
    printed: float | None
    """The gain in print, where the paper prints both numbers."""
    gain: float | None
    """By how much the first is better, in points; of speed and cost, a ratio."""
    low: float | None
    """Lower end of its 95% interval."""
    high: float | None
    """Upper end."""
    n: int | None
    """Images; of speed, epochs."""
    seeds: int | None
    """Trainings of each."""
    p_for: float | None
    """p-value of this comparison for the claim."""
    p_against: float | None
    """And against it."""
    p_smaller: float | None
    """Of a gain below the margin, where a gain is claimed."""
    trainings: str
    """What the p-values take for granted of trainings."""
    needed: str
    """What would decide it, were it so in truth."""
    papers: bool
    """Whether images and settings are the paper's: else the verdict is of these images, not of the paper."""
