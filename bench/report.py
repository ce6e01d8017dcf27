"""What was measured as a markdown table, goals beside results."""

import json
from statistics import median


def number(value, unit):
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f} {unit}"


def middle(values):
    return median(values) if values else None


def ratio(row, over, under):
    """The middle of the ratios of neighbours in time."""
    pairs = [a / b for a, b in zip(row.values.get(over, []), row.values.get(under, [])) if b]
    return middle(pairs)


def line(row):
    cells = [number(middle(row.values.get(name, [])), row.unit) for name in ("Apache Kafka", "floor", "Millrace")]
    against = ratio(row, "Apache Kafka", "Millrace")
    efficiency = ratio(row, "floor", "Millrace") if row.has_efficiency else None
    cells.append(f"{against:.1f}x" if against else "")
    cells.append(f"{efficiency:.2f}" if efficiency else "")
    cells.append(row.goal)
    cells.append(verdict(row, against, efficiency))
    return f"| {row.title} | " + " | ".join(cells) + " |"


def verdict(row, against, efficiency):
    ours = middle(row.values.get("Millrace", []))
    if ours is None:
        return ""
    missed = []
    if row.most is not None and ours > row.most:
        missed.append("value")
    if row.least_ratio and not against:
        return "?"
    if row.least_ratio and against < row.least_ratio:
        missed.append("ratio")
    if efficiency and efficiency < 0.7:
        missed.append("efficiency")
    return "no: " + ", ".join(missed) if missed else "yes"


def table(rows):
    head = ("| row | Apache Kafka | floor | Millrace | Kafka / ours | floor / ours | goal | reached |\n"
            "|---|---|---|---|---|---|---|---|\n")
    return head + "\n".join(line(row) for row in rows if row.values)


def raw(rows):
    return json.dumps([{"row": row.title, "unit": row.unit, "values": row.values} for row in rows], indent=1)
