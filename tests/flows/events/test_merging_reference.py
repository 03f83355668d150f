"""The merging of rows equals a plain formulation of its rules, release by release."""

from collections import defaultdict
from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.events.merging import one_per_release
from flows.events.rows import NEVER, Rows

CONFIGURED = 2  # series of the configuration; series 2 is earnings
DAY = np.timedelta64(1, "D").astype("timedelta64[us]")
FIRST = np.datetime64("2024-03-01", "us")
NAN = float("nan")

ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 2]),  # series
        st.sampled_from([0, 0, 1]),  # rank
        st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4]),  # day
        st.sampled_from([0, 750, 810]),  # minute of the day
        st.sampled_from([True, True, False]),  # timed
        st.sampled_from([True] * 5 + [False]),  # scheduled
        st.sampled_from([True, True, False]),  # gives_figures
        st.tuples(*[st.sampled_from([1.0, 2.0, 3.0, NAN])] * 4),  # figures
        st.sampled_from([None] * 5 + [4]),  # day of the withdrawal
    ),
    max_size=20,
)


def rows_of(drawn):
    """Return the drawn rows as arrays."""
    times = [
        FIRST + day * DAY + (np.timedelta64(minute, "m") if timed else np.timedelta64(0, "m"))
        for _, _, day, minute, timed, *_ in drawn
    ]
    withdrawn_at = [NEVER if row[8] is None else FIRST + row[8] * DAY for row in drawn]
    return Rows(
        series=np.array([row[0] for row in drawn], dtype=np.int64),
        rank=np.array([row[1] for row in drawn], dtype=np.int64),
        times=np.array(times, dtype="datetime64[us]"),
        timed=np.array([row[4] for row in drawn], dtype=np.bool_),
        scheduled=np.array([row[5] for row in drawn], dtype=np.bool_),
        gives_figures=np.array([row[6] for row in drawn], dtype=np.bool_),
        figures=np.array([row[7] for row in drawn], dtype=np.float64).reshape(-1, 4),
        withdrawn_at=np.array(withdrawn_at, dtype="datetime64[us]"),
    )


def reference(rows):
    """Return one dictionary per release, ordered by series and time."""
    groups = defaultdict(list)
    for position in range(len(rows.times)):
        row = {column.name: getattr(rows, column.name)[position] for column in fields(rows)}
        day = row["times"].astype("datetime64[D]")
        groups[row["series"], day, not row["scheduled"], row["withdrawn_at"]].append(row)
    releases = [merged(groups[key]) for key in sorted(groups)]
    releases.sort(key=lambda release: (release["series"], release["times"]))
    for position, release in enumerate(releases):
        release["never_came"] = never_came(releases, position)
    return releases


def merged(group):
    """Return the release that the rows of a group describe."""
    group = sorted(
        group, key=lambda row: (not row["timed"], not row["gives_figures"], row["rank"], row["times"])
    )
    timed = [row for row in group if row["timed"]]
    same_kind = timed or group  # a time beats a date
    preferred = [row for row in same_kind if row["gives_figures"]] or same_kind
    time = max(row["times"] for row in preferred)
    published = [row["times"] for row in timed if np.isfinite(row["figures"][[0, 3]]).any()]
    public_at = max(published, default=time) if timed else time + DAY
    figures = [NAN] * 4
    contradicting = False
    for column in range(4):
        usable = [
            row
            for row in same_kind
            if np.isfinite(row["figures"][column]) and (row["gives_figures"] or column == 3)
        ]
        if not usable:
            continue
        first = usable[0]
        figures[column] = first["figures"][column]
        if column == 0:
            contradicting = any(
                row["figures"][0] != first["figures"][0]
                and (row["times"], row["rank"]) == (first["times"], first["rank"])
                for row in usable
            )
    if contradicting:
        figures[0] = NAN
    first = group[0]
    return first | {
        "times": time,
        "public_at": public_at,
        "figures": figures if first["withdrawn_at"] == NEVER else [NAN] * 4,
        "two_times": len({row["times"] for row in timed}) > 1,
        "contradicting": contradicting,
        "has_actual": any(np.isfinite(row["figures"][0]) for row in group),
    }


def never_came(releases, position):
    """Return since when it is certain that a release was never published."""
    release = releases[position]
    if release["has_actual"] or not release["scheduled"]:
        return NEVER
    of_series = [other for other in releases if other["series"] == release["series"]]
    start = next(index for index, other in enumerate(of_series) if other is release)
    for index in range(start + 1, len(of_series)):
        if of_series[index]["has_actual"]:
            seen = of_series[: index + 1]
            with_actual = sum(other["has_actual"] for other in seen)
            without = len(seen) - with_actual
            fewest = 1 if release["series"] < CONFIGURED else 4
            usual = with_actual >= fewest and without <= max(1.0, 0.15 * len(seen))
            return of_series[index]["public_at"] if usual else NEVER
    return NEVER


@settings(max_examples=300)
@given(ROWS)
def test_merged_rows_equal_the_plain_formulation(drawn):
    rows = rows_of(drawn)
    merged_rows = one_per_release(rows, CONFIGURED)
    expected = reference(rows)
    for name in ("series", "times", "timed", "scheduled", "withdrawn_at"):
        actual = getattr(merged_rows.rows, name)
        assert actual.tolist() == [release[name].item() for release in expected], name
    for name in ("public_at", "never_came", "two_times", "contradicting"):
        actual = getattr(merged_rows, name)
        assert actual.tolist() == [np.asarray(release[name]).item() for release in expected], name
    figures = np.array([release["figures"] for release in expected], dtype=np.float64).reshape(-1, 4)
    np.testing.assert_array_equal(merged_rows.rows.figures, figures)
