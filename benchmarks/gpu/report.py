"""Formats the figures of the GPU benchmarks as one Markdown page."""

from collections.abc import Sequence
from typing import Any


def page(results: dict[str, Any]) -> str:
    """Return a table for each part with results."""
    sections = [_card(results["card"])]
    if "logits" in results:
        head = list(results["logits"][0])
        sections.append(
            _table("Largest difference of a logit, relative to the largest", head, _cells(results["logits"]))
        )
    if "seeds" in results:
        head = list(results["seeds"][0])
        sections.append(_table("Share of equal tokens of one seeded job", head, _cells(results["seeds"])))
    if "prefill" in results:
        rows = [
            [r["size"], str(r["candles"]), *(_ms(r[name]) for name in ("first", "second", "median"))]
            for r in results["prefill"]
        ]
        head = ["size", "candles", "first time", "second time", "median after"]
        sections.append(_table("Prefill of one history", head, rows))
    if "step" in results:
        sections.append(_steps(results["step"], results.get("floors", {}).get("steps", [])))
    if "predict" in results:
        sections.append(_requests(results["predict"], results.get("upstream", {}).get("rows", [])))
    if "batch" in results:
        rows = [
            [r["size"], "yes" if r["events"] else "no", f"{r['seconds']:.2f} s", str(r["slots"]),
             *(f"{r[name] / 2**20:,.0f} MiB" for name in ("cache", "graphs", "free"))]
            for r in results["batch"]
        ]  # fmt: skip
        head = ["size", "events", "25 symbols × 20 paths", "slots", "cache", "CUDA graphs", "free after"]
        sections.append(_table("The batch, 392 + 120", head, rows))
    sections += [
        f"No figures of {part}: {results[part]['why']}."
        for part in ("floors", "upstream")
        if "why" in results.get(part, {})
    ]
    if "rate" in results.get("floors", {}):
        floors = results["floors"]
        sections.append(
            f"Measured on the card: {floors['bandwidth'] / 1e12:.2f} TB/s (copy), "
            f"{floors['rate'] / 1e12:.0f} TFLOPS (half-precision product)."
        )
    return "\n\n".join(sections)


def _card(facts: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())


def _steps(steps: Sequence[dict[str, Any]], floors: Sequence[dict[str, Any]]) -> str:
    least = {(f["size"], f["rows"]): max(f["memory"], f["products"]) for f in floors}
    rows = []
    for r in steps:
        floor = least.get((r["size"], r["rows"]))
        best = min((r[name] for name in ("graphs", "eager") if name in r), default=None)
        ratio = "–" if floor is None or best is None else f"{best / floor:.1f} ×"
        rows.append(
            [r["size"], str(r["rows"]), *(_ms(r.get(n)) for n in ("graphs", "eager")), _ms(floor), ratio]
        )
    head = ["size", "rows", "step with CUDA graphs", "without", "floor", "over the floor"]
    return _table("A step behind a history of 392", head, rows)


def _requests(requests: Sequence[dict[str, Any]], upstream: Sequence[dict[str, Any]]) -> str:
    upstream_seconds = {
        (u["size"], f"{u['paths']} path{'s' * (u['paths'] > 1)}"): u["seconds"] for u in upstream
    }
    rows = []
    for r in requests:
        other = upstream_seconds.get((r["size"], r["request"]))
        compared = ["–", "–"] if other is None else [f"{other:.2f} s", f"{other / r['seconds']:.0f} ×"]
        rows.append([r["size"], r["request"], f"{r['seconds']:.3f} s", *compared])
    return _table(
        "One request, 392 + 120 unless it says otherwise",
        ["size", "request", "time", "upstream", "faster"],
        rows,
    )


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.2f} ms"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])
