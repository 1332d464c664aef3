"""Draw ``house.svg``, how data goes through the rooms: ``python docs/house.py``.

Tests compare the rooms and the arrows with the imports of the package.
"""

from pathlib import Path

WIDTH, ROW, SIZE = 132, 80, (476, 544)
LEFT, MIDDLE, RIGHT = 8, 172, 336

ROOMS = {
    "cli": (MIDDLE, 0, "commands"),
    "data": (LEFT, 1, "inputs, targets"),
    "study": (MIDDLE, 1, "settings, runs"),
    "network": (RIGHT, 1, "forward, backward"),
    "losses": (RIGHT, 2, "values, gradients"),
    "metrics": (LEFT, 3, "measurements"),
    "running": (MIDDLE, 3, "plan, workers"),
    "training": (RIGHT, 3, "steps, two engines"),
    "store": (MIDDLE, 4, "study.sqlite"),
    "analysis": (MIDDLE, 5, "nulls, verdicts"),
    "report": (MIDDLE, 6, "figures, pages"),
}
"""Where each room is drawn, column and row, and what it deals in."""

ARROWS = {
    ("cli", "study"): "",
    ("data", "study"): "",
    ("study", "running"): "descriptions",
    ("network", "losses"): "responses",
    ("losses", "training"): "",
    ("running", "training"): "",
    ("running", "metrics"): "",
    ("running", "store"): "weights, measurements",
    ("store", "analysis"): "tables",
    ("analysis", "report"): "findings",
}
"""What goes from where to where, and in words what."""

BOTH = {("running", "training"), ("running", "metrics")}
"""Where the middle hands over something and gets something back."""

HEIGHT = 48


def place(room: str) -> tuple[float, float]:
    """Return the upper left corner of a room."""
    x, row, _ = ROOMS[room]
    return x, 8 + row * ROW


def draw() -> str:
    """Return the picture as SVG."""
    parts = []
    for (one, other), label in ARROWS.items():
        (x, y), (to_x, to_y) = place(one), place(other)
        if abs(to_x - x) < 1:
            line = x + WIDTH / 2, y + HEIGHT, to_x + WIDTH / 2, to_y - 3
        else:
            right = to_x > x
            start, end = (x + WIDTH, to_x - 3) if right else (x, to_x + WIDTH + 3)
            line = start, y + HEIGHT / 2, end, to_y + HEIGHT / 2
        both = " marker-start='url(#tip)'" if (one, other) in BOTH else ""
        ends = "x1='{:g}' y1='{:g}' x2='{:g}' y2='{:g}'".format(*line)
        parts.append(
            f"<line {ends} stroke='#555' stroke-width='1.5' marker-end='url(#tip)'{both}/>"
        )
        if label:
            at = f"x='{line[0] + 7:g}' y='{(line[1] + line[3]) / 2 + 4:g}'"
            parts.append(f"<text {at} font-size='12' fill='#555'>{label}</text>")
    for room, (_, _, what) in ROOMS.items():
        x, y = place(room)
        parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{WIDTH}' height='{HEIGHT}' rx='6' fill='#eef4f8' "
            "stroke='#0072b2'/>"
        )
        for text, down, look in ((f"{room}/", 20, "14' font-weight='bold"), (what, 38, "12.5")):
            at = f"x='{x + WIDTH / 2:g}' y='{y + down:g}' text-anchor='middle'"
            parts.append(f"<text {at} font-size='{look}' fill='#1a1a1a'>{text}</text>")
    width, height = SIZE
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' font-family='system-ui, DejaVu Sans, sans-serif'>\n"
        "<title>How data goes through the rooms of the package</title>\n"
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
        "markerHeight='7' orient='auto-start-reverse'><path d='M0 0L8 4L0 8z' fill='#555'/>"
        "</marker></defs>\n"
        f"<rect width='{width}' height='{height}' fill='#fff'/>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
