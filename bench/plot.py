"""Two plots as SVG text: points in a plane, and for each row a dot for each library on a logarithmic axis."""
import math
from html import escape

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
           "#393b79", "#637939"]
STYLE = "<style>text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.axis{stroke:#888}</style>"
TICKS = [0.25, 0.33, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128]


def svg(width, height, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                      f'viewBox="0 0 {width} {height}">', STYLE,
                      f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>\n"])


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, kind="grid"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x, y, colour, is_ours, title):
    radius, edge = (7, ' stroke="black" stroke-width="1.5"') if is_ours else (5, "")
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"{edge} fill-opacity="0.85">'
            f"<title>{escape(title)}</title></circle>")


class Axis:
    """Logarithmic, from pixel a to pixel b, with the ticks that fall inside."""

    def __init__(self, values, a, b):
        low, high = math.log(min(values)), math.log(max(values))
        margin = max(0.08 * (high - low), 0.05)
        self.low, self.high, self.a, self.b = low - margin, high + margin, a, b
        self.ticks = [t for t in TICKS if self.low <= math.log(t) <= self.high]

    def at(self, value):
        return self.a + (self.b - self.a) * (math.log(value) - self.low) / (self.high - self.low)


def scatter(points, x_title, y_title, ours):
    """points: name → (x, y)."""
    points = {name: xy for name, xy in points.items() if not any(map(math.isnan, xy))}
    width, height, left, bottom = 720, 480, 60, 430
    x = Axis([p[0] for p in points.values()], left, width - 130)
    y = Axis([p[1] for p in points.values()], bottom, 20)
    parts = []
    for tick in x.ticks:
        parts += [line(x.at(tick), 20, x.at(tick), bottom), text(x.at(tick), bottom + 18, f"{tick:g}", "middle")]
    for tick in y.ticks:
        parts += [line(left, y.at(tick), width - 130, y.at(tick)), text(left - 8, y.at(tick) + 4, f"{tick:g}", "end")]
    parts += [line(left, bottom, width - 130, bottom, "axis"), line(left, 20, left, bottom, "axis"),
              text((left + width - 130) / 2, height - 12, x_title, "middle"),
              text(16, 230, y_title, "middle", 'transform="rotate(-90 16 230)"')]
    for i, (name, (a, b)) in enumerate(points.items()):
        parts += [dot(x.at(a), y.at(b), COLOURS[i % len(COLOURS)], name == ours, f"{name}: {a:.3f}, {b:.3f}"),
                  text(x.at(a) + 10, y.at(b) + 4, name)]
    return svg(width, height, parts)


def dots(rows, title, ours):
    """rows: name → {library: ratio to the best of the row}."""
    names = list(dict.fromkeys(name for of in rows.values() for name in of))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    left, step, width = 170, 22, 900
    places, place, legend_y = {}, left, 20
    for name in names:
        if place + 20 + 7 * len(name) > width:
            place, legend_y = left, legend_y + 20
        places[name] = (place, legend_y)
        place += 34 + 7 * len(name)
    top = legend_y + 40
    height = top + step * len(rows) + 50
    x = Axis([1.0, 1.5, *(v for of in rows.values() for v in of.values())], left, width - 20)
    parts = []
    for name, (a, b) in places.items():
        parts += [dot(a, b, colour[name], name == ours, name), text(a + 10, b + 4, name)]
    for tick in x.ticks:
        parts += [line(x.at(tick), top - 14, x.at(tick), height - 40), text(x.at(tick), height - 24, f"{tick:g}", "middle")]
    for i, (row, of) in enumerate(rows.items()):
        y = top + step * i
        parts += [text(left - 12, y + 4, row, "end"), line(left, y, width - 20, y)]
        for name in sorted(of, key=lambda n: n == ours):
            parts.append(dot(x.at(of[name]), y, colour[name], name == ours, f"{name}: {of[name]:.2f}"))
    parts.append(text((left + width) / 2, height - 6, title, "middle"))
    return svg(width, height, parts)
