/** A run whose inputs lie in the plane: the plane at a moment, and the fit at the end. */
class PlaneStage {
  constructor(place, run, width, name) {
    const { middle, reach } = run.data, two = width > 620, top = 22, left = 4;
    Object.assign(this, { run, name, middle, half: reach });
    this.radius = width < 480 || run.k > 60 ? 3.6 : 5;
    const side = two ? Math.min(0.58 * (width - 52), 620) : Math.min(width - 8, 560);
    const lesser = two ? side * 0.72 : side;
    this.plane = this.square(left, top, side);
    this.second = two ? this.square(left + side + 40, top, lesser)
      : this.square(left, top + side + 62, lesser);
    const inputs = run.data.x;
    this.points = run.data.y.map((_, i) => [inputs[2 * i], inputs[2 * i + 1]]);
    const height = Math.max(top + side, this.second.top + lesser + 12) + 28;
    place.innerHTML = svg(width, height, describe(run), this.planePieces() + this.fitPieces());
    this.svg = place.firstElementChild;
    this.part = part => this.svg.querySelector(`[data-part="${part}"]`);
  }

  /** A square picture of the frame: where it stands, and its scales. */
  square(left, top, side) {
    const [cx, cy] = this.middle, { half } = this;
    return {
      left, top, side,
      x: scale(cx - half, cx + half, left, left + side),
      y: scale(cy - half, cy + half, top + side, top),
    };
  }

  border({ left, top, side, x, y }) {
    const [cx, cy] = this.middle, { half } = this;
    const along = ticks(cx - half, cx + half, false, 4).map(v =>
      text(x(v), top + side + 16, number(v), MIDDLE));
    const up = ticks(cy - half, cy + half, false, 4).map(v => text(left + 4, y(v) + 4, number(v)));
    const edge = box(left, top, side, side, { fill: "none", stroke: LINE });
    return edge + along.join("") + up.join("");
  }

  outline({ x, y }, opacity) {
    const corners = this.run.data.hull.map(([a, b]) => `${fixed(x(a))} ${fixed(y(b))}`);
    return tag("path", {
      d: `M${corners.join("L")}Z`, fill: INPUT, "fill-opacity": opacity, stroke: INPUT,
      "stroke-opacity": 0.5,
    });
  }

  /** A part of a picture that is drawn anew, and ends at its border. */
  within(square, part) {
    const { left, top, side } = square, id = `${this.name}-${part}`;
    return clip(id, box(left, top, side, side)) +
      tag("g", { "clip-path": `url(#${id})` }, group(part));
  }

  planePieces() {
    const { plane, run } = this, what = run.neuron === "ridge" ? " and ridges" : "";
    const looks = { fill: INPUT, stroke: "#fff", "stroke-width": 0.8 };
    const inputs = this.points.map(([a, b]) =>
      dot(plane.x(a), plane.y(b), this.radius - 1, looks));
    return this.outline(plane, 0.1) + this.within(plane, "now") + inputs.join("") +
      this.border(plane) + group("marks") +
      text(4, 14, `prototypes${what}, x\u2081 and x\u2082`);
  }

  /** The final network, painted, with the targets in the same colours. */
  fitPieces() {
    const { run, second, half, middle: [cx, cy] } = this, { left, top, side, x, y } = second;
    const grid = 160, at = new Float64Array(2 * grid * grid), targets = run.data.y;
    for (let i = 0; i < grid * grid; i++) {
      at[2 * i] = cx - half + 2 * half * (i % grid + 0.5) / grid;
      at[2 * i + 1] = cy + half - 2 * half * (Math.floor(i / grid) + 0.5) / grid;
    }
    const most = Math.max(...targets.map(Math.abs)) || 1, size = { width: side, height: side };
    const href = painted(grid, respond(run, at).f, most);
    const dots = this.points.map(([a, b], i) => dot(x(a), y(b), this.radius,
      { fill: `rgb(${shade(targets[i] / most)})`, stroke: INK, "stroke-width": 1.2 }));
    const key = `blue: ${MINUS}${number(most, 2)} or less, red: ${number(most, 2)} or more`;
    return tag("image", { href, x: left, y: top, ...size, preserveAspectRatio: "none" }) +
      this.outline(second, 0) + dots.join("") + this.within(second, "picked-response") +
      this.border(second) + text(left, top - 8, "fit and targets at the end") +
      text(left, top + side + 32, key);
  }

  /** The line through a point at a right angle to a direction, long enough for the frame. */
  ridge({ x, y }, point, direction, more) {
    const size = Math.hypot(...direction), far = 6 * this.half;
    if (!(size > 1e-9 * this.half)) return "";
    const [ux, uy] = [-direction[1] / size, direction[0] / size];
    // About the foot of the frame's middle, so that the ends stay near it.
    const foot = (this.middle[0] - point[0]) * ux + (this.middle[1] - point[1]) * uy;
    const ends = [foot - far, foot + far].flatMap(a =>
      [x(point[0] + a * ux), y(point[1] + a * uy)]);
    return ends.every(v => Math.abs(v) < 1e6) ? line(...ends, more) : "";
  }

  /** Where a neuron responds: a ridge, or the circle where it responds with 1/e (known at the
      end), as in the report's figure. */
  extent(square, j, point, last, more) {
    const { w, s } = parts(this.run);
    // p is parallel to w; where only p is known, it is its direction.
    if (w) return this.ridge(square, point, last ? w.subarray(2 * j, 2 * j + 2) : point, more);
    const size = square.side / (2 * this.half) / Math.abs(s[j]);
    const [x, y] = [square.x(point[0]), square.y(point[1])];
    return last && size < 1e5 && Math.abs(x) < 1e5 && Math.abs(y) < 1e5
      ? dot(x, y, size, { fill: "none", ...more }) : "";
  }

  move(step, picked) {
    const { run, plane } = this, { t, last, marks } = marksAt(run, step, picked);
    const place = ([a, b]) => [plane.x(a), plane.y(b)], under = [], over = [];
    const near = ([a, b]) => Math.abs(a) < 1e5 && Math.abs(b) < 1e5;
    const trail = j => Array.from({ length: t + 1 }, (_, i) =>
      place(places(run, i).subarray(2 * j, 2 * j + 2))).filter(near);
    let beyond = 0;
    for (const each of marks) {
      const { j, point, out } = each, own = each.picked, [x, y] = place(point);
      const stroke = own ? PICKED : out ? OUT : INK, opacity = own ? 0.9 : 0.45;
      const looks = { stroke, "stroke-width": own ? 3 : 0.8, opacity };
      under.push(this.extent(plane, j, point, last, looks));
      under.push(path(trail(j), { ...looks, "stroke-width": own ? 4 : 1.3 }));
      const inside = point.every((p, e) => Math.abs(p - this.middle[e]) <= this.half);
      if (inside) over.push(mark(x, y, each, this.radius));
      else beyond++;
    }
    if (last) {
      const ends = prototypes(run);
      run.matched.forEach((j, n) => {
        if (j < 0) return;
        const pair = [ends.subarray(2 * j, 2 * j + 2), this.points[n]];
        const looks = { stroke: INPUT, "stroke-width": 1.2, "stroke-dasharray": "3 2" };
        if (pair.map(place).every(near)) under.push(line(...pair.flatMap(place), looks));
      });
    }
    const told = { ...END, fill: OUT, "font-weight": 600 };
    if (beyond) over.push(text(plane.side - 2, 38, `${beyond} beyond the frame`, told));
    this.part("now").innerHTML = under.join("");
    this.part("marks").innerHTML = over.join("");
    const known = picked !== null && picked < run.k, looks = { stroke: PICKED, "stroke-width": 3 };
    this.part("picked-response").innerHTML = known
      ? this.extent(this.second, picked, prototypes(run).subarray(2 * picked), true, looks) : "";
  }

  neuronAt(x, y, step) {
    const { run, plane } = this, at = places(run, momentAt(run.steps, step));
    const far = Array.from({ length: run.k }, (_, j) =>
      Math.hypot(plane.x(at[2 * j]) - x, plane.y(at[2 * j + 1]) - y));
    const nearest = Math.min(...far);
    return nearest < 24 ? far.indexOf(nearest) : null;
  }
}

/** What draws a run, by the dimensions of its inputs. */
const STAGES = { 1: LineStage, 2: PlaneStage };
