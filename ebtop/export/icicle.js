// Zoom, search and keyboard for the icicles of a document; they are drawn whole without it.
"use strict";
for (const svg of document.querySelectorAll("svg.icicle")) {
  const CHARACTER = 7.25, PAD = 4, READABLE = 60;
  const alone = svg === document.documentElement;
  const frames = [...svg.querySelectorAll("g.f")].map((g, number) => {
    const [left, weight, depth] = g.getAttribute("data-f").split(" ").map(Number);
    const [title, box, label] = g.children;
    return { g, number, left, weight, depth, box, label, words: title.textContent, name: g.getAttribute("data-n"), callees: [], caller: null };
  });
  const status = svg.querySelector(".status"), found = svg.querySelector(".found");
  const last = [];
  for (const f of frames) {
    last[f.depth] = f;
    if (f.depth) {
      f.caller = last[f.depth - 1];
      f.caller.callees.push(f);
    }
  }
  if (!frames.length) continue;
  let zoomed = frames[0], cursor = frames[0], width = 1200, wanted = "", typing = false, matches = [];

  function draw() {
    const scale = width / zoomed.weight;
    for (const f of frames) {
      const above = f.depth < zoomed.depth && f.left <= zoomed.left && f.left + f.weight >= zoomed.left + zoomed.weight;
      const x = above ? 0 : Math.max(0, (f.left - zoomed.left) * scale);
      const w = above ? width : f.weight * scale;
      const inside = above || (f.depth >= zoomed.depth && f.left >= zoomed.left && f.left + f.weight <= zoomed.left + zoomed.weight);
      const seen = inside && w >= 0.3;
      f.g.classList.toggle("n", !seen);
      f.g.classList.toggle("above", above);
      f.g.classList.toggle("miss", wanted !== "" && !f.match);
      f.g.classList.toggle("cursor", f === cursor);
      if (!seen) continue;
      f.box.setAttribute("x", x.toFixed(2));
      f.box.setAttribute("width", Math.max(0.3, w - (w > 3 ? 0.5 : 0)).toFixed(2));
      f.label.setAttribute("x", (x + PAD).toFixed(2));
      const room = Math.floor((w - 2 * PAD) / CHARACTER);
      f.label.textContent = room < 3 ? "" : f.name.length <= room ? f.name : f.name.slice(0, room - 1) + "…";
    }
    status.textContent = cursor.words.split("\n").join(" · ");
  }
  function search() {
    const low = wanted.toLowerCase();
    matches = [];
    let weight = 0, until = -1;
    for (const f of frames) {
      f.match = wanted !== "" && f.depth > 0 && f.words.toLowerCase().split("\n")[0].includes(low);
      if (!f.match) continue;
      matches.push(f);
      if (f.left >= until) {
        weight += f.weight;
        until = f.left + f.weight;
      }
    }
    matches.sort((a, b) => b.weight - a.weight || a.number - b.number);
    const share = (100 * weight / frames[0].weight).toFixed(2);
    const result = matches.length ? `${share} % in ${matches.length} frames` : "not in any frame drawn";
    found.textContent = typing || wanted ? `/${wanted}${typing ? "▏" : ""}  ${wanted ? result : ""}` : "Search: /";
  }
  function go(f) {
    cursor = f;
    let top = zoomed;
    while (!(f.left >= top.left && f.left + f.weight <= top.left + top.weight && f.depth >= top.depth)) top = top.caller;
    if (f.weight * width / top.weight < READABLE && f !== top) {
      top = f;
      while (top.caller && f.weight * width / top.caller.weight >= READABLE) top = top.caller;
    }
    zoomed = top;
    draw();
    if (!alone) f.box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  function zoom(f) {
    cursor = zoomed = f;
    draw();
  }
  function side(step) {
    const row = frames.filter((f) => f.depth === cursor.depth && !f.g.classList.contains("n")).sort((a, b) => a.left - b.left);
    const next = row[row.indexOf(cursor) + step];
    if (next) go(next);
  }
  function nextMatch(step) {
    if (!matches.length) return;
    const at = matches.indexOf(cursor);
    go(matches[at < 0 ? (step > 0 ? 0 : matches.length - 1) : (at + step + matches.length) % matches.length]);
  }
  const heaviest = (f) => f.callees.reduce((a, b) => (b.weight > a.weight ? b : a), f.callees[0]);
  const keys = {
    ArrowDown: () => cursor.callees.length && go(heaviest(cursor)),
    ArrowUp: () => cursor.caller && (cursor === zoomed ? zoom(cursor.caller) : go(cursor.caller)),
    ArrowLeft: () => side(-1),
    ArrowRight: () => side(1),
    Enter: () => zoom(cursor),
    Backspace: () => zoomed.caller && zoom(zoomed.caller),
    Home: () => zoom(frames[0]),
    Escape: () => (wanted ? ((wanted = ""), search(), draw()) : zoom(frames[0])),
    "/": () => ((typing = true), (wanted = ""), search(), draw()),
    n: () => nextMatch(1),
    N: () => nextMatch(-1),
  };
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing) {
      if (event.key === "Enter") typing = false;
      else if (event.key === "Escape") [typing, wanted] = [false, ""];
      else if (event.key === "Backspace") wanted = [...wanted].slice(0, -1).join("");
      else if ([...event.key].length === 1) wanted += event.key;
      else return;
      search();
      if (event.key === "Enter" && matches.length) go(matches[0]);
      else draw();
    } else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  }
  (alone ? window : svg).addEventListener("keydown", onKey);
  svg.addEventListener("click", (event) => {
    const g = event.target.closest(".f, .found, .reset");
    if (!g) return;
    if (g.classList.contains("found")) keys["/"]();
    else if (g.classList.contains("reset")) [typing, wanted] = [false, ""], search(), zoom(frames[0]);
    else zoom(frames.find((f) => f.g === g));
  });
  svg.addEventListener("mouseover", (event) => {
    const g = event.target.closest(".f");
    const f = g && frames.find((each) => each.g === g);
    status.textContent = (f || cursor).words.split("\n").join(" · ");
  });
  function fit() {
    const given = alone ? window.innerWidth : svg.parentElement.clientWidth;
    width = Math.max(320, given);
    svg.setAttribute("width", width);
    svg.removeAttribute("viewBox");
    for (const right of svg.querySelectorAll(".right")) right.setAttribute("x", width - PAD);
    draw();
  }
  for (const control of svg.querySelectorAll(".live")) control.classList.remove("live");
  window.addEventListener("resize", fit);
  search();
  fit();
}
