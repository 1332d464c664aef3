// What is shown: its state, the address that says it, and the runs that it names.

const VIEWS = { all: "All runs", one: "One run", two: "Two runs" };

const FIELDS = ["losses", ...DATA.fields, "seed"];
const valuesOf = Object.fromEntries(FIELDS.map(name => [name, name === "losses"
  ? Object.keys(DATA.styles) : sorted(new Set(RUNS.map(run => run.cells[name])))]));

const FIRST = {
  view: DATA.first.b ? "two" : "one", a: DATA.first.a, b: DATA.first.b ?? DATA.first.a,
  step: null, // the last one
  neuron: undefined, // the one that strikes
  y: "expelled_fraction",
  over: DATA.fields.reduce((most, name) =>
    (valuesOf[name].length > valuesOf[most].length ? name : most)),
  only: {}, hidden: new Set(),
};
let state = { ...FIRST }, wrong = "";

/** The state as the part of an address behind its "#". */
function address() {
  const { view, a, b, step, neuron, y, over, only, hidden } = state;
  const said = new URLSearchParams({ view, a, b });
  if (step !== null) said.set("step", step);
  if (neuron !== undefined) said.set("neuron", neuron ?? "none");
  if (y !== FIRST.y) said.set("y", y);
  if (over !== FIRST.over) said.set("over", over);
  for (const [name, value] of Object.entries(only)) said.set(`only.${name}`, value);
  if (hidden.size) said.set("hidden", [...hidden].join(","));
  return `#${said}`;
}

const KNOWN = {
  view: value => value in VIEWS,
  a: value => BY_KEY.has(value),
  b: value => BY_KEY.has(value),
  y: value => value in DATA.measurements,
  over: value => DATA.fields.includes(value),
  step: value => Number(value) >= 0,
  neuron: value => value === "none" || Number(value) >= 0,
  hidden: value => value.split(",").every(label => label in DATA.styles),
};

/** Take the state from the address; what this page does not know is left and said. */
function readAddress() {
  const found = { ...FIRST, only: {}, hidden: new Set() };
  wrong = "";
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const field = name.startsWith("only.") ? name.slice(5) : null;
    if (field !== null && DATA.fields.includes(field)) found.only[field] = value;
    else if (!KNOWN[name]?.(value)) {
      wrong = `This page has no ${name} ${value}, which the address names; shown is another.`;
    } else if (name === "hidden") found.hidden = new Set(value.split(","));
    else if (name === "neuron") found.neuron = value === "none" ? null : Number(value);
    else found[name] = name === "step" ? Number(value) : value;
  }
  state = found;
}

/** Put the state into the address, once it rests: browsers limit how often that may happen. */
let resting = 0;
function remember() {
  clearTimeout(resting);
  resting = setTimeout(() => history.replaceState(null, "", address()), 200);
}

// ----------------------------------------------------------------------------- runs

function shownRuns() {
  const [a, b] = [BY_KEY.get(state.a), BY_KEY.get(state.b)];
  return { all: [], one: [a], two: [a, b] }[state.view];
}

/** The runs that the filters of the view of all runs leave. */
const filtered = () => RUNS.filter(run => Object.entries(state.only).every(
  ([name, value]) => name === state.over || String(run.cells[name]) === value));

const sameProblem = (a, b) => a.data === b.data && a.k === b.k;

/** Of the runs with a value of a field, the one that is most like another run. */
function neighbour(run, field, value) {
  const alike = other => sum(FIELDS.map(name =>
    (other.cells[name] === run.cells[name] ? (name === "losses" ? 3 : 1) : 0)));
  let found = run, most = -1;
  for (const other of RUNS) {
    const count = other.cells[field] === value ? alike(other) : -1;
    if (count > most) [found, most] = [other, count];
  }
  return found;
}

/** The run to put beside another: the same problem with the losses of B, or with coverage. */
function beside(run) {
  const labels = [BY_KEY.get(state.b).label, "coverage", ...valuesOf.losses];
  const label = labels.find(each => each !== run.label && valuesOf.losses.includes(each));
  return label === undefined ? run : neighbour(run, "losses", label);
}

/** What changes when the run A or B gets another value of a field. */
function chosen(letter, field, value) {
  const run = BY_KEY.get(state[letter]), other = letter === "a" ? "b" : "a";
  const change = { [letter]: neighbour(run, field, value).key, neuron: undefined };
  const kept = BY_KEY.get(state[other]);
  // The other run keeps its losses and goes along to the same problem.
  if (field !== "losses" && sameProblem(run, kept)) {
    change[other] = neighbour(neighbour(kept, field, value), "losses", kept.label).key;
  }
  return change;
}

/** The neuron that is marked unless the address names one: the one that ends farthest outside the
    hull, but within the frame; null if none does. */
const striking = once(run => {
  if (run.d > 2) return null;
  const ends = prototypes(run), { middle, reach, hull, tolerance } = run.data;
  let found = null, most = tolerance;
  for (let j = 0; j < run.k; j++) {
    const point = ends.subarray(j * run.d, (j + 1) * run.d), far = hullDistance(hull, point);
    const framed = point.every((p, e) => Math.abs(p - middle[e]) < reach);
    if (framed && far > most) [found, most] = [j, far];
  }
  return found;
});

function pickedNeuron() {
  return state.neuron === undefined ? striking(BY_KEY.get(state.a)) : state.neuron;
}
