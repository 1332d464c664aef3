// The three views, their state in the address, keyboard, saving.

const VIEWS = { all: "All runs", one: "One run", two: "Two runs" };
const main = document.querySelector("main"), time = document.querySelector(".time");
const slider = document.getElementById("step"), play = document.getElementById("play");
const told = document.getElementById("told");

const kinds = name => new Set(DATA.columns[name]).size;
const FIRST = {
  view: DATA.first.b ? "two" : "one", a: DATA.first.a, b: DATA.first.b ?? DATA.first.a,
  step: null, neuron: undefined, y: "expelled_fraction", 
  over: DATA.fields.reduce((most, name) => (kinds(name) > kinds(most) ? name : most)), only: {}, hidden: new Set(),
};
let state = { ...FIRST }, wrong = "", drawn = [], chart = null, steps = [], playing = null;

// ----------------------------------------------------------------------------- address

function address() {
  const { view, a, b, step, neuron, y, over, only, hidden } = state, told = new URLSearchParams({ view });
  told.set("a", a);
  told.set("b", b);
  if (step !== null) told.set("step", step);
  if (neuron !== undefined) told.set("neuron", neuron ?? "none");
  if (y !== FIRST.y) told.set("y", y);
  if (over !== FIRST.over) told.set("over", over);
  for (const [name, value] of Object.entries(only)) told.set(`only.${name}`, value);
  if (hidden.size) told.set("hidden", [...hidden].join(","));
  return `#${told}`;
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), found = { ...FIRST, only: {}, hidden: new Set() };
  wrong = "";
  const known = (name, value, allowed) => {
    if (allowed(value)) found[name] = value;
    else wrong = `This page has no ${name} ${value}, which the address names; shown is another.`;
  };
  for (const [name, value] of given) {
    if (name === "view") known(name, value, v => v in VIEWS);
    else if (name === "a" || name === "b") known(name, value, v => BY_KEY.has(v));
    else if (name === "y") known(name, value, v => v in DATA.measurements);
    else if (name === "over") known(name, value, v => DATA.fields.includes(v));
    else if (name === "step") known(name, Number(value), v => v >= 0);
    else if (name === "neuron") known(name, value === "none" ? null : Number(value), v => v === null || v >= 0);
    else if (name === "hidden") found.hidden = new Set(value.split(",").filter(label => label in DATA.looks));
    else if (name.startsWith("only.") && DATA.fields.includes(name.slice(5))) found.only[name.slice(5)] = value;
  }
  state = found;
}

/** Put the state into the address, once it rests: browsers limit how often that may happen. */
let resting = 0;
function remember() {
  clearTimeout(resting);
  resting = setTimeout(() => history.replaceState(null, "", address()), 200);
}

/** Change the state. Another view or run is a step of the browser's history, another moment not. */
function go(change) {
  const before = `${state.view} ${state.a} ${state.b}`;
  Object.assign(state, change);
  wrong = "";
  if (before === `${state.view} ${state.a} ${state.b}`) remember();
  else history.pushState(null, "", address());
  if (Object.keys(change).every(name => name === "step" || name === "neuron")) move();
  else draw();
}

// ----------------------------------------------------------------------------- runs

const shownRuns = () => ({ all: [], one: [BY_KEY.get(state.a)], two: [BY_KEY.get(state.a), BY_KEY.get(state.b)] })[state.view];
const fieldsOf = run => ["losses", ...DATA.fields, "seed"].map(name => [name, run.cells[name]]);
const filtered = () => RUNS.filter(run =>
  Object.entries(state.only).every(([name, value]) => name === state.over || String(run.cells[name]) === value));

/** The run that differs from one in a field, or of those with that value the most alike. */
function neighbour(run, field, value) {
  let found = run, most = -1;
  for (const other of RUNS) {
    if (other.cells[field] !== value) continue;
    const alike = sum(fieldsOf(run).map(([name, v]) => (other.cells[name] === v ? (name === "losses" ? 3 : 1) : 0)));
    if (alike > most) [found, most] = [other, alike];
  }
  return found;
}

const valuesOf = once(field => {
  const all = [...new Set(RUNS.map(run => run.cells[field.name]))];
  if (field.name === "losses") return Object.keys(DATA.looks);
  return all.sort((a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(b)));
});
const FIELDS = Object.fromEntries(["losses", ...DATA.fields, "seed"].map(name => [name, { name }]));
const sameProblem = (a, b) => a.data === b.data && a.k === b.k;

function choose(letter, field, value) {
  const run = BY_KEY.get(state[letter]), next = neighbour(run, field, value), change = { [letter]: next.key, neuron: undefined };
  const other = letter === "a" ? "b" : "a", beside = BY_KEY.get(state[other]);
  // The other run keeps its losses and goes along to the same problem.
  if (field !== "losses" && sameProblem(run, beside)) change[other] = neighbour(neighbour(beside, field, value), "losses", beside.label).key;
  go(change);
}

/** The neuron that is marked unless the address names one: of the first run the one that ends
    farthest outside the hull, as long as that is within the frame. */
const striking = once(run => {
  if (run.d > 2) return null;
  const ends = prototypes(run);
  let found = null, most = 0;
  for (let j = 0; j < run.k; j++) {
    const point = ends.subarray(j * run.d, (j + 1) * run.d);
    const far = hullDistance(run.data, point), { middle, reach } = run.data;
    if (far > most && point.every((p, i) => Math.abs(p - middle[i]) < reach)) [found, most] = [j, far];
  }
  return most > 1e-3 * diameter(run.data) ? found : null;
});

// ----------------------------------------------------------------------------- drawing

const words = run => `<b><span class="chip" style="border-color:${look(run.label)[0]}">${escaped(look(run.label)[1])}</span></b>`;

/** What two runs share, in words; equal starts are known only where both were recorded. */
function shared(a, b) {
  if (!sameProblem(a, b)) return "in another problem";
  const begin = [a, b].map(run => run.rounded.subarray(0, run.k * run.d).join());
  return `on the same data${a.recorded && b.recorded && begin[0] === begin[1] ? " from the same start" : ""}`;
}

function headline([a, b]) {
  const ended = run => words(run) + (run.cells.status === "ok" ? "" : ` (${run.cells.status})`);
  const first = `After ${number(a.cells.steps_taken)} steps with ${ended(a)}, <b>${sum(a.expelled)} of ${a.k}</b> neurons are expelled`;
  if (!b || a === b) return `${first}.`;
  return `${first}; with ${ended(b)} <b>${sum(b.expelled)}${a.k === b.k ? "" : ` of ${b.k}`}</b>, ${shared(a, b)}.`;
}

function picker(letter) {
  const run = BY_KEY.get(state[letter]);
  return `<div class="controls">` + fieldsOf(run).map(([name, value]) => {
    const options = valuesOf(FIELDS[name]);
    if (options.length < 2) return "";
    const shown = name === "n_samples" ? "N" : name.replace(/_/g, " ");
    return `<label><span>${escaped(shown)}</span><select data-run="${letter}" data-field="${name}">` + options.map((option, i) =>
      `<option value="${i}"${option === value ? " selected" : ""}>${escaped(name === "losses" ? look(option)[1] : number(option, 6))}</option>`).join("") + "</select></label>";
  }).join("") + "</div>";
}

function runCard(letter) {
  const run = BY_KEY.get(state[letter]), title = state.view === "two" ? `<small>${letter.toUpperCase()}</small> ` : "";
  return `<section class="run"><div class="head"><h2>${title}${words(run)} <small>N = ${run.n}, seed ${run.cells.seed}${run.cells.status === "ok" ? "" : `, ${run.cells.status}`}</small></h2>${picker(letter)}</div>` +
    `<p class="count" data-count="${letter}"></p><div class="stage" data-stage="${letter}"></div>` +
    `</section>`;
}

function numbers(runs) {
  const rows = Object.entries(DATA.measurements).map(([name, [title, unit]]) =>
    `<tr${name === state.y ? ' class="shown"' : ""}><th scope="row">${escaped(title)}${unit ? ` <small>(${unit})</small>` : ""}</th>` +
    runs.map(run => `<td>${number(run.cells[name])}</td>`).join("") + "</tr>").join("");
  const heads = runs.map((run, i) => `<th scope="col">${runs.length > 1 ? `${"AB"[i]}: ` : ""}${escaped(look(run.label)[1])}</th>`).join("");
  const keys = runs.map((run, i) => `<p class="note">${runs.length > 1 ? `${"AB"[i]}: ` : "In Python: "}<code>mlpspec.load(DIRECTORY).params("${run.key}")</code> <button type="button" data-copy="${run.key}">Copy key</button></p>`).join("");
  return `<table><thead><tr><th scope="col">at the end</th>${heads}</tr></thead><tbody>${rows}</tbody></table>${keys}`;
}

function draw() {
  stop();
  drawn = [];
  chart = null;
  for (const button of document.querySelectorAll("nav > button")) button.setAttribute("aria-pressed", button.dataset.view === state.view);
  const runs = shownRuns(), warning = wrong ? `<p class="note warn" role="alert">${escaped(wrong)}</p>` : "";
  if (!RUNS.length) main.innerHTML = "<p>No run of this directory has anything to show.</p>";
  else if (state.view === "all") drawAll(warning);
  else {
    const rule = state.view === "two" && state.a === DATA.first.a && state.b === DATA.first.b
      ? `<p class="note" data-save>${escaped(DATA.first.rule)} Statistics are in the report.</p>` : "";
    const legend = runs[0].d < 3 ? `<div class="legend">${marksLegend(runs[0].d === 2)}</div>` : "";
    const body = state.view === "two" ? `<div class="pair">${runCard("a")}${runCard("b")}<div data-terms="a"></div><div data-terms="b"></div></div><h2 class="note">Numbers</h2>${numbers(runs)}`
      : `<div class="one">${runCard("a")}<aside><div data-terms="a"></div>${numbers(runs)}</aside></div>`;
    main.innerHTML = `${warning}<p class="headline" data-save>${headline(runs)}</p>${rule}${legend}${body}`;
    const limits = termLimits(runs);
    for (const letter of state.view === "two" ? ["a", "b"] : ["a"]) {
      const run = BY_KEY.get(state[letter]), place = main.querySelector(`[data-stage="${letter}"]`);
      drawn.push([letter, new (stageOf(run))(place, run, Math.floor(place.clientWidth), letter, runs.find(other => other !== run))]);
      const terms = main.querySelector(`[data-terms="${letter}"]`);
      if (run.terms.length) drawn.push([letter, new TermsChart(terms, run, Math.floor(terms.clientWidth), limits)]);
      else terms.innerHTML = `<p class="note">Nothing was recorded while this run trained; shown is its end. Runs are recorded with <code>--set record=log</code>.</p>`;
    }
    steps = [...new Set(runs.flatMap(run => [...run.steps]))].sort((a, b) => a - b);
    slider.max = steps.length - 1;
  }
  time.hidden = state.view === "all" || steps.length < 2;
  move();
}

function drawAll(warning) {
  const select = (name, title, options, value) => `<label>${title}<select data-set="${name}">` + options.map(([v, shown]) =>
    `<option value="${escaped(v)}"${v === value ? " selected" : ""}>${escaped(shown)}</option>`).join("") + "</select></label>";
  const others = DATA.fields.filter(name => name !== state.over).map(name =>
    select(`only.${name}`, escaped(setting(name)), [["", "all"], ...valuesOf(FIELDS[name]).map(v => [String(v), number(v, 6)])], state.only[name] ?? ""));
  const losses = Object.entries(DATA.looks).map(([label, [colour, name]]) =>
    `<button type="button" data-loss="${escaped(label)}" aria-pressed="${!state.hidden.has(label)}"><i style="background:${colour}"></i>${escaped(name)}</button>`);
  main.innerHTML = `${warning}<div class="controls">${select("y", "measurement", Object.entries(DATA.measurements).map(([n, [title]]) => [n, title]), state.y)}` +
    `${DATA.fields.length > 1 ? select("over", "over", DATA.fields.map(n => [n, setting(n)]), state.over) : ""}${others.join("")}</div>` +
    `<div class="legend losses" role="group" aria-label="losses">${losses.join("")}</div><div class="all" tabindex="0" aria-label="runs; arrows choose one, Enter opens it"></div>` +
    `<p class="count" data-count="all" aria-live="polite"></p><p class="note" data-save></p>`;
  const place = main.querySelector(".all");
  chart = new AllRuns(place, filtered(), Math.floor(place.clientWidth), state);
  main.querySelector("p[data-save]").textContent = `Each dot a run, lanes and colours the losses in the order of the buttons, bars their medians. ${chart.shown} runs` +
    `${chart.lacking ? `; of ${chart.lacking} more it is undefined` : ""}. A and B are the runs of the other views. Select a dot to open its run, with Shift to put it beside the run A.`;
}

/** Show another moment or neuron in what is drawn. */
function move() {
  if (state.view === "all") {
    chart?.mark({ [state.b]: "B", [state.a]: state.a === state.b ? "A B" : "A" });
    say(BY_KEY.get(state.a));
    return;
  }
  const runs = shownRuns(), step = state.step ?? steps.at(-1);
  const neuron = state.neuron === undefined ? striking(runs[0]) : state.neuron;
  for (const [, picture] of drawn) picture.move(step, neuron);
  let at = steps.findLastIndex(s => s <= step);
  if (at < 0) at = 0;
  slider.value = at;
  told.textContent = `step ${number(steps[at])} of ${number(steps.at(-1))}`;
  slider.setAttribute("aria-valuetext", told.textContent);
  for (const place of main.querySelectorAll("[data-count]")) {
    const run = BY_KEY.get(state[place.dataset.count]), t = momentAt(run, step), last = t === run.steps.length - 1;
    if (run.d > 2) continue;
    let content = `<b>${sum(outside(run, t))} of ${run.k}</b> outside the hull`;
    content += last ? `, ${sum(run.expelled)} expelled` : ` at step ${number(run.steps[t])}`;
    if (neuron !== null && neuron < run.k) {
      const point = places(run, t).subarray(neuron * run.d, (neuron + 1) * run.d);
      content += `. Neuron ${neuron}: x ${[...point].map(p => number(p)).join(", ")}`;
      if (last) content += `, slope ${number(slopes(run)[neuron])}, height ${number(parts(run).v[neuron])}`;
    }
    place.innerHTML = `${content}.`;
  }
}

function say(run) {
  const place = main.querySelector('[data-count="all"]');
  if (place && run) place.innerHTML = `<b>${escaped(look(run.label)[1])}</b>, ${fieldsOf(run).slice(1).map(([name, v]) => `${name === "n_samples" ? "N" : escaped(name.replace(/_/g, " "))} ${escaped(number(v, 6))}`).join(", ")}: ${escaped(DATA.measurements[state.y][0])} ${number(run.cells[state.y])} <code>${run.key}</code>`;
}

// ----------------------------------------------------------------------------- what is done

function stop() {
  clearInterval(playing);
  playing = null;
  play.textContent = "\u25b6 Play";
}

function start() {
  if (playing) return stop();
  let at = Number(slider.value) >= steps.length - 1 ? 0 : Number(slider.value);
  const show = () => {
    go({ step: at >= steps.length - 1 ? null : steps[at] });
    if (at++ >= steps.length - 1) stop();
  };
  play.textContent = "\u23f8 Pause";
  playing = setInterval(show, 110);
  show();
}

function stepTo(at) {
  const place = Math.max(0, Math.min(steps.length - 1, at));
  go({ step: place === steps.length - 1 ? null : steps[place] });
}

/** The next value of a field of the run A that the keys reach. */
function turn(field, by) {
  const values = valuesOf(FIELDS[field]), run = BY_KEY.get(state.a);
  choose("a", field, values[(values.indexOf(run.cells[field]) + by + values.length) % values.length]);
}

function turnNeuron(by) {
  const run = BY_KEY.get(state.a), now = state.neuron === undefined ? striking(run) : state.neuron;
  go({ neuron: now === null ? (by > 0 ? 0 : run.k - 1) : (now + by + run.k) % run.k });
}

/** The picture of the view: what is drawn, where it stands, and its headline. */
function picture() {
  const frame = main.getBoundingClientRect(), pieces = [];
  let bottom = 0, ids = 0;
  const put = (x, y, content, more) => pieces.push(text(x, y, content, { fill: INK, ...more }));
  for (const element of main.querySelectorAll("[data-save], .run h2, .count, .plot, .losses [aria-pressed=true]")) {
    const box = element.getBoundingClientRect(), x = box.left - frame.left, y = box.top - frame.top;
    if (!box.width) continue;
    if (element.matches(".plot")) {
      const copy = element.cloneNode(true), id = `v${ids++}-`;
      copy.setAttribute("x", fixed(x));
      copy.setAttribute("y", fixed(y));
      copy.removeAttribute("class");
      pieces.push(new XMLSerializer().serializeToString(copy).replace(/(id="|url\(#)/g, `$1${id}`));
      const name = element.parentElement.matches(".entry") && element.parentElement.textContent;
      if (name) put(x + box.width + 4, y + 14, name, { "font-size": 13, fill: SOFT });
    } else {
      const size = parseFloat(getComputedStyle(element).fontSize), fits = Math.max(8, Math.floor(box.width / (size * 0.52)));
      const lines = element.textContent.trim().match(new RegExp(`.{1,${fits}}(\\s|$)|\\S+`, "g")) ?? [];
      const colour = element.querySelector("i")?.style.backgroundColor ?? INK;
      lines.forEach((part, i) => put(x, y + size * (1.05 + 1.4 * i), part.trim(), { "font-size": size, "font-weight": element.matches("h2") ? 600 : 400, fill: colour }));
    }
    bottom = Math.max(bottom, y + box.height);
  }
  const keys = shownRuns().map(run => run.key).join(", ");
  put(0, bottom + 22, `${DATA.study}${keys ? `, ${keys}` : ""}; mlpspec ${DATA.version}`, { "font-size": 12, fill: SOFT });
  const width = Math.ceil(frame.width), height = Math.ceil(bottom + 34);
  return tag("svg", { xmlns: "http://www.w3.org/2000/svg", width: width + 24, height: height + 16, viewBox: `-12 -8 ${width + 24} ${height + 16}`, "font-family": FONT },
    `<rect x="-12" y="-8" width="${width + 24}" height="${height + 16}" fill="#fff"/>${pieces.join("")}`);
}

function save() {
  const link = document.createElement("a"), where = shownRuns().map(run => run.key);
  link.href = URL.createObjectURL(new Blob([picture()], { type: "image/svg+xml" }));
  link.download = [DATA.study, state.view === "all" ? state.y : where.join("-")].join("-").replace(/[^\w.-]+/g, "_") + ".svg";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}

const KEYS = {
  1: ["all runs", () => go({ view: "all" })], 2: ["one run", () => go({ view: "one" })], 3: ["two runs", () => go({ view: "two" })],
  " ": ["play or pause", start],
  ArrowRight: ["the next moment, or run", () => (chart ? walk(1) : stepTo(Number(slider.value) + 1))],
  ArrowLeft: ["the one before", () => (chart ? walk(-1) : stepTo(Number(slider.value) - 1))],
  Home: ["the start of training", () => stepTo(0)], End: ["its end", () => stepTo(Infinity)],
  n: ["the next neuron", () => turnNeuron(1)], p: ["the one before", () => turnNeuron(-1)], Escape: ["no neuron", () => go({ neuron: null })],
  l: ["other losses, of run A", () => turn("losses", 1)], L: ["the ones before", () => turn("losses", -1)],
  d: ["another seed", () => turn("seed", 1)], D: ["the one before", () => turn("seed", -1)],
  x: ["exchange A and B", () => go({ a: state.b, b: state.a, neuron: undefined })],
  Enter: ["open the run A", () => chart && go({ view: "one" })],
  s: ["save the view as SVG", save], "?": ["these keys", () => {
    const keys = document.getElementById("keys");
    if (keys.toggleAttribute("open")) keys.scrollIntoView();
  }],
};

/** In the view of all runs: the run to the right or left, by loss, then seed. */
function walk(by) {
  const order = [...chart.dots].sort((a, b) => a.x - b.x || a.y - b.y).map(dot => dot.run.key);
  const at = order.indexOf(state.a), key = order[(at + by + order.length) % order.length];
  if (!key) return;
  state.a = key;
  state.neuron = undefined;
  remember();
  move();
}

addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.target.matches("button, summary") && [" ", "Enter"].includes(event.key)) return;
  const known = KEYS[event.key];
  if (!known || !RUNS.length) return;
  if (state.view === "all" && [" ", "Home", "End"].includes(event.key)) return;
  event.preventDefault();
  known[1]();
});
slider.addEventListener("input", () => { stop(); stepTo(Number(slider.value)); });
play.addEventListener("click", start);
main.addEventListener("change", ({ target }) => {
  const { run, field, set } = target.dataset;
  if (run) choose(run, field, valuesOf(FIELDS[field])[Number(target.value)]);
  else if (set?.startsWith("only.")) {
    const only = { ...state.only, [set.slice(5)]: target.value };
    if (!target.value) delete only[set.slice(5)];
    go({ only });
  } else if (set) go({ [set]: target.value });
  if (run) main.querySelector(`select[data-run="${run}"][data-field="${field}"]`)?.focus();
  else if (set) main.querySelector(`select[data-set="${set}"]`)?.focus();
});
main.addEventListener("click", event => {
  const { target } = event, loss = target.closest("[data-loss]")?.dataset.loss, copied = target.dataset.copy;
  if (loss !== undefined) {
    const hidden = new Set(state.hidden);
    if (!hidden.delete(loss)) hidden.add(loss);
    go({ hidden });
    [...main.querySelectorAll("[data-loss]")].find(button => button.dataset.loss === loss)?.focus();
  } else if (copied) {
    navigator.clipboard?.writeText(copied).then(() => { target.textContent = "Copied"; }, () => {});
  } else if (target.closest(".plot")) {
    const plot = target.closest(".plot"), box = plot.getBoundingClientRect();
    const ratio = plot.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    if (chart && plot === chart.svg) {
      const run = chart.runAt(x, y);
      if (run) go(event.shiftKey ? { b: run.key, view: "two", neuron: undefined } : { a: run.key, view: "one", neuron: undefined });
      return;
    }
    const found = drawn.find(([, stage]) => stage.svg === plot);
    if (found) go({ neuron: found[1].neuronAt(x, y, state.step ?? steps.at(-1)) });
  }
});
main.addEventListener("pointermove", event => {
  if (!chart || event.target.closest(".plot") !== chart.svg) return;
  const box = chart.svg.getBoundingClientRect(), run = chart.runAt(event.clientX - box.left, event.clientY - box.top);
  say(run ?? BY_KEY.get(state.a));
});
addEventListener("popstate", () => { clearTimeout(resting); readAddress(); draw(); });
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });

document.querySelector("h1").textContent = `${DATA.study} \u2013 explorer`;
document.querySelector("header p").textContent = DATA.question;
document.querySelector("nav").innerHTML = Object.entries(VIEWS).map(([view, name]) => `<button type="button" data-view="${view}">${name}</button>`).join("") +
  `<span class="right"><button type="button" id="save">Save as SVG</button></span>`;
document.querySelector("nav").addEventListener("click", ({ target }) => {
  if (target.dataset.view) go({ view: target.dataset.view });
  else if (target.id === "save") save();
});
const left = DATA.runs - RUNS.length - DATA.failed, recorded = RUNS.filter(run => run.recorded).length;
document.querySelector("footer").innerHTML = `<details open><summary>What this page does not show</summary><ul>
<li>Nothing is trained here: it shows what was stored, ${number(RUNS.length)} of ${number(DATA.runs)} runs${left ? `; ${number(left)} more, of later seeds, are left out so that it stays below 4 MB` : ""}${DATA.failed ? `; ${number(DATA.failed)} failed` : ""}. ${recorded === RUNS.length ? "All" : number(recorded)} of them were recorded while they trained.</li>
<li>One run is an example. Tests, intervals, nulls and verdicts are in <code>report.html</code>.</li>
<li>Between recorded moments nothing is known; straight lines join them. Positions on the way are rounded to 1/16,000 of the width of the inputs, far from them more coarsely; final parameters, responses and fits are exact.</li>
<li>On the way only prototypes are known. Whether a neuron is <em>expelled</em> (its ridge has left the data), its slope, its response and which input it is matched with are shown at the end alone. A ridge in the plane is drawn through its prototype, at a right angle to the line from the origin.</li>
<li>The frame is twice as wide as the inputs; prototypes beyond it are counted at its edge.</li>
<li>Terms of the objective are those that were active, without their weights.</li>
<li>Above two dimensions no positions are drawn.</li></ul></details>
<details id="keys"><summary>Keys</summary><p>${Object.entries(KEYS).map(([key, [what]]) => `<kbd>${key === " " ? "Space" : key.replace("Arrow", "")}</kbd> ${what}`).join(" \u00b7 ")}</p></details>`;
readAddress();
draw();
