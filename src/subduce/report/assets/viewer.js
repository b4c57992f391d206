"use strict";
// One viewer a section: parent + amount × field, arrows, polyhedra; small pictures of the domains by the same data.
const TURN = (() => { // z upwards, seen a little from the side and from above
  const about = (axis, degrees) => axis.map(v => v * Math.sin(degrees * Math.PI / 360)).concat(Math.cos(degrees * Math.PI / 360));
  const times = ([a, b, c, d], [e, f, g, h]) => [d*e + a*h + b*g - c*f, d*f - a*g + b*h + c*e, d*g + a*f - b*e + c*h, d*h - a*e - b*f - c*g];
  return times(about([1, 0, 0], 11), times(about([0, 1, 0], -22), about([1, 0, 0], -90)));
})();
const VIEWS = { "⟲": TURN, x: [-.5, -.5, -.5, .5], y: [0, Math.SQRT1_2, Math.SQRT1_2, 0], z: [0, 0, 0, 1] };

const cross = (a, b) => [a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]];
const minus = (a, b) => a.map((v, i) => v - b[i]);
const plus = (a, b, s = 1) => a.map((v, i) => v + s * b[i]);
const size = a => Math.hypot(...a);
const turned = (v, q) => { const t = cross(q, v).map(x => 2 * x); return plus(plus(v, t, q[3]), cross(q, t)); };
const point = ([x, y, z]) => ({ x, y, z });
const rows = values => Array.from({ length: values.length / 3 }, (_, i) => values.slice(3*i, 3*i + 3).map(v => v / 1000));

// A picture without WebGL: faces, then atoms, from the back to the front.
function sketch(canvas, data, field, exaggeration, arrow) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = ratio * width; canvas.height = ratio * height;
  const pen = canvas.getContext("2d"), at = data.sites.map((site, i) => turned(plus(site, field[i], exaggeration), TURN));
  const reach = Math.max(...at.map(p => Math.max(Math.abs(p[0]) / width, Math.abs(p[1]) / height))) * 2 + .9 / width;
  const on = p => [ratio * (width / 2 + p[0] / reach), ratio * (height / 2 - p[1] / reach)];
  const things = data.faces.map(face => {
    const [a, b, c] = face.map(i => at[i]), n = cross(minus(b, a), minus(c, a)), light = (n[0] * -.3 + n[1] * .6 + n[2] * .75) / size(n);
    return { depth: (a[2] + b[2] + c[2]) / 3, draw() {
      pen.beginPath(); for (const p of [a, b, c]) pen.lineTo(...on(p)); pen.closePath();
      pen.fillStyle = `hsla(210, 48%, ${52 + 26 * Math.max(light, 0)}%, ${n[2] > 0 ? .82 : .25})`; pen.fill();
      pen.strokeStyle = "rgba(30, 62, 96, .55)"; pen.lineWidth = ratio * .5; pen.stroke();
    } };
  }).concat(at.map((p, i) => ({ depth: p[2] + .1, draw() {
    const kind = data.kinds[data.species[i]];
    if (kind.inside) return;
    pen.beginPath(); pen.arc(...on(p), ratio * kind.radius * .62 / reach, 0, 7); pen.fillStyle = kind.colour; pen.fill();
  } }))).concat(at.map((p, i) => ({ depth: p[2] + (data.kinds[data.species[i]].inside ? 99 : .2), draw() {
    if (!arrow || size(field[i]) < .4 * arrow) return; // arrows on what is inside polyhedra lie above everything
    const from = on(p), to = on(plus(p, turned(field[i], TURN), 1.2 / arrow)), back = minus(from, to).map(v => v * .32);
    pen.beginPath(); pen.moveTo(...from); pen.lineTo(...to);
    for (const side of [.5, -.5]) { pen.moveTo(...to); pen.lineTo(to[0] + back[0] - side * back[1], to[1] + back[1] + side * back[0]); }
    pen.strokeStyle = "#c96f00"; pen.lineWidth = ratio * 1.1; pen.stroke();
  } })));
  things.sort((a, b) => a.depth - b.depth).forEach(thing => thing.draw());
}

function axes(canvas, q) { // the directions x, y, z of the parent's frame, as they are seen now
  const ratio = window.devicePixelRatio || 1, side = canvas.clientWidth * ratio, pen = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  pen.font = `${12 * ratio}px system-ui, sans-serif`; pen.textAlign = "center"; pen.textBaseline = "middle";
  [["x", 1, 0, 0], ["y", 0, 1, 0], ["z", 0, 0, 1]].map(([name, ...v]) => [name, turned(v, q)]).sort((a, b) => a[1][2] - b[1][2]).forEach(([name, v]) => {
    const on = s => [side * (.5 + s * v[0]), side * (.5 - s * v[1])];
    pen.strokeStyle = pen.fillStyle = `rgba(34, 39, 46, ${.65 + .35 * v[2]})`; pen.lineWidth = 1.5 * ratio;
    pen.beginPath(); pen.moveTo(side / 2, side / 2); pen.lineTo(...on(.32)); pen.stroke(); pen.fillText(name, ...on(.42));
  });
}

function crystal(part) {
  const data = JSON.parse(part.querySelector("script").textContent);
  const fields = data.fields.map(f => rows(f.values)), domains = data.domains.map(rows);
  const state = { field: 0, domain: -1, amount: 1, arrows: true, solids: data.faces.length > 0, swing: 0 };
  const pick = name => part.querySelector(`[data-part=${name}]`);
  const stage = pick("stage"), slider = pick("amount"), words = pick("words");
  const chosen = () => state.domain < 0 ? fields[state.field] : domains[state.domain];
  const moves = () => state.domain >= 0 || data.fields[state.field].kind === "displacement";
  const factor = () => data.fields[state.domain < 0 ? state.field : 0].factor;
  let viewer = null;
  try {
    viewer = $3Dmol.createViewer(stage, { backgroundColor: "white", antialias: true, orthographic: true, disableFog: true });
  } catch (error) { viewer = null; }

  function draw() {
    const field = chosen(), amount = moves() ? state.amount : 0;
    words.textContent = (state.amount === 0 ? "parent" : state.amount === 1 ? "child" : `${state.amount.toFixed(2)} × the distortion`)
      + (state.arrows && factor() ? ` · arrows: ${factor()} × the ${moves() ? "displacements" : "moments"}` : "")
      + (viewer ? " · drag to turn, Ctrl + wheel to zoom" : "");
    if (!viewer) return sketch(stage.firstElementChild, data, field, amount, state.arrows && factor() ? 1 / factor() : 0);
    const at = data.sites.map((site, i) => plus(site, field[i], amount));
    viewer.removeAllModels(); viewer.removeAllShapes();
    const model = viewer.addModel();
    model.addAtoms(at.map((p, i) => ({ elem: data.kinds[data.species[i]].name, serial: i, bonds: [], bondOrder: [], ...point(p) })));
    for (const kind of data.kinds) model.setStyle({ elem: kind.name }, { sphere: { radius: kind.radius, color: kind.colour } });
    const frame = viewer.addShape({ color: "#8b95a1" });
    for (const [a, b] of [[0,1],[0,2],[0,4],[1,3],[1,5],[2,3],[2,6],[3,7],[4,5],[4,6],[5,7],[6,7]])
      frame.addCylinder({ start: point(data.corners[a]), end: point(data.corners[b]), radius: .025, color: "#8b95a1" });
    if (state.solids) {
      const vertexArr = [], normalArr = [], faceArr = [];
      for (const face of data.faces) {
        const [a, b, c] = face.map(i => at[i]), n = cross(minus(b, a), minus(c, a)), normal = point(n.map(v => v / size(n)));
        for (const p of [a, b, c]) { faceArr.push(vertexArr.length); vertexArr.push(point(p)); normalArr.push(normal); }
      }
      const inside = field.filter((_, i) => data.kinds[data.species[i]].inside);
      const shown = Math.max(...inside.map(size)) > .5 * Math.max(...field.map(size)); // what moves inside must be seen
      viewer.addShape({ color: "#6a9fd6", opacity: shown && state.arrows ? .74 : .95 }).addCustom({ vertexArr, normalArr, faceArr, color: "#6a9fd6" });
      const lines = viewer.addShape({ color: "#27496e" });
      for (const [i, j] of data.edges)
        lines.addCylinder({ start: point(at[i]), end: point(at[j]), radius: .022, color: "#27496e" });
    }
    if (state.arrows) {
      const arrows = viewer.addShape({ color: "#e08a00" });
      field.forEach((u, i) => {
        const length = size(u) * factor();
        if (length < .08) return;
        const way = u.map(v => v / size(u)), start = plus(at[i], way, data.kinds[data.species[i]].radius * .9);
        arrows.addArrow({ start: point(start), end: point(plus(start, way, length)), radius: .07, radiusRatio: 2.5,
                          mid: Math.max(.3, 1 - .36 / length), color: "#e08a00" });
      });
    }
    viewer.render();
  }
  function choose(field, domain) {
    Object.assign(state, { field, domain });
    if (state.amount === 0) state.amount = Number(slider.value = 1);
    part.querySelectorAll("[data-field]").forEach(b => b.setAttribute("aria-pressed", domain < 0 && Number(b.dataset.field) === field));
    part.querySelectorAll("[data-domain]").forEach(b => b.setAttribute("aria-pressed", Number(b.dataset.domain) === domain));
    document.querySelectorAll(`#${part.closest("section").id} tr[data-field]`).forEach(
      row => row.classList.toggle("shown", domain < 0 && field > 0 && Number(row.dataset.field) === field));
    draw();
  }
  function amount(value) { state.amount = Number(slider.value = value); draw(); }
  function swing(start) {
    const step = now => {
      if (state.swing !== start) return;
      amount((1 - Math.cos((now - start) / 900)) / 2);
      requestAnimationFrame(step);
    };
    state.swing = start;
    requestAnimationFrame(step);
  }

  part.closest("section").addEventListener("click", event => {
    const on = event.target.closest("[data-field], [data-domain], [data-amount], [data-view], [data-swing]");
    if (!on) return;
    const { field, domain, amount: value, view } = on.dataset;
    if (field !== undefined) choose(Number(field), -1);
    else if (domain !== undefined) choose(0, Number(domain));
    else if (value !== undefined) { state.swing = 0; amount(value); }
    else if (view !== undefined) { const now = viewer.getView(); viewer.setView([...now.slice(0, 4), ...VIEWS[view]]); }
    else if (state.swing) state.swing = 0; else swing(performance.now());
  });
  slider.addEventListener("input", () => { state.swing = 0; amount(slider.value); });
  for (const name of ["arrows", "solids"])
    pick(name)?.addEventListener("change", event => { state[name] = event.target.checked; draw(); });
  stage.addEventListener("wheel", event => { if (!event.ctrlKey) event.stopPropagation(); }, { capture: true });

  const compass = document.createElement("canvas");
  compass.className = "axes";
  if (!viewer) { stage.innerHTML = "<canvas></canvas>"; part.classList.add("flat"); }
  choose(Math.max(0, data.fields.findIndex(f => f.factor)), -1);
  if (viewer) {
    const seen = data.sites.map(site => turned(site, TURN)), wide = stage.clientWidth / stage.clientHeight;
    const half = 1.9 + Math.max(...seen.map(p => Math.max(Math.abs(p[1]), Math.abs(p[0]) / wide))); // Å from the middle up; the library's angle is across
    viewer.setCameraParameters({ fov: 20, z: 150 });
    viewer.zoomTo();
    viewer.setView([0, 0, 0, 150 - half * wide / Math.tan(20 * Math.PI / 180), ...TURN]);
    viewer.setViewChangeCallback(view => axes(compass, view.slice(4, 8)));
  }
  stage.append(compass);
  axes(compass, TURN);
  const longest = Math.max(...fields[0].map(size));
  part.querySelectorAll("[data-domain] canvas").forEach((canvas, i) => sketch(canvas, data, domains[i], 2, longest));
}
document.querySelectorAll("[data-crystal]").forEach(crystal);
