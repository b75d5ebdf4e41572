/// The page at `/`: what the server does, drawn anew each second from `/status.json`. It loads
/// nothing from anywhere else.
enum StatusPage {
  static let html = #"""
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>pi0 server</title>
    <link rel="icon" href="data:,">
    <style>
    :root { color-scheme: light dark; --line: #8884; --dim: #888; --wait: #e6a100; --infer: #1f77b4; }
    body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
    h1 { font-size: 1.4rem; margin: 0; }
    h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
    #state { color: var(--dim); }
    #numbers { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1rem; }
    #numbers div { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .8rem; min-width: 6rem; }
    #numbers b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
    #numbers span, .note, text { color: var(--dim); fill: var(--dim); font-size: 13px; }
    svg { width: 100%; height: auto; border: 1px solid var(--line); border-radius: .5rem; }
    table { border-collapse: collapse; }
    td { border-top: 1px solid var(--line); padding: .2rem 1.2rem .2rem 0; }
    td:first-child { color: var(--dim); }
    .problem { color: #d62728; }
    i { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin: 0 .3em 0 .8em; }
    </style>
    </head>
    <body>
    <h1>pi0 server</h1>
    <div id="state">Asking the server …</div>
    <div id="numbers"></div>
    <h2>Latency<i style="background:var(--infer)"></i><span class="note">inference</span><i
      style="background:var(--wait)"></i><span class="note">waiting for its turn</span></h2>
    <svg id="latency" viewBox="0 0 900 240" role="img" aria-label="Latency over time"></svg>
    <h2>Last action chunk <span class="note" id="size"></span></h2>
    <svg id="chunk" viewBox="0 0 900 300" role="img" aria-label="Actions over the steps"></svg>
    <h2>Policy</h2>
    <table id="policy"></table>
    <h2>Cards</h2>
    <table id="cards"></table>
    <script>
    "use strict";
    const colors = ["#1f77b4", "#e66100", "#2a9d3a", "#d62728", "#8457c9", "#7f4f3a", "#d957a8",
      "#6b6b6b", "#a39400", "#0aa5b8"];
    const byId = id => document.getElementById(id);
    function element(name, attributes, text) {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (text !== undefined) node.textContent = text;
      return node;
    }
    function table(id, rows) {
      byId(id).replaceChildren(...rows.map(cells => {
        const row = document.createElement("tr");
        for (const cell of cells) row.insertCell().textContent = cell;
        return row;
      }));
    }
    const span = s => s < 120 ? s.toFixed(0) + " s" : s < 7200 ? (s / 60).toFixed(0) + " min"
      : (s / 3600).toFixed(1) + " h";
    const ms = v => v >= 10000 ? (v / 1000).toFixed(1) + " s" : v.toPrecision(3) + " ms";
    function quantile(values, share) {
      const sorted = [...values].sort((a, b) => a - b);
      return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    }
    // Round values between low and high.
    function ticks(low, high) {
      const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= rough) || power;
      const list = [];
      for (let v = Math.ceil(low / step) * step; v <= high && list.length < 20; v += step) list.push(v);
      return list;
    }
    // A chart's frame with round values; returns the two scales.
    function axes(svg, [left, right], [low, high], label, bottom) {
      const box = svg.viewBox.baseVal, x0 = 70, x1 = box.width - 15, y0 = box.height - 30, y1 = 12;
      if (!(high > low)) { const room = Math.abs(low) || 1; low -= room; high += room; }
      if (!(right > left)) right = left + 1;
      const x = v => x0 + (v - left) / (right - left) * (x1 - x0);
      const y = v => y0 + (v - low) / (high - low) * (y1 - y0);
      svg.replaceChildren();
      for (const v of ticks(low, high)) {
        svg.append(element("line", {x1: x0, x2: x1, y1: y(v), y2: y(v), stroke: "#8884"}));
        svg.append(element("text", {x: x0 - 8, y: y(v) + 4, "text-anchor": "end"},
          +v.toPrecision(6) + label));
      }
      svg.append(element("text", {x: (x0 + x1) / 2, y: box.height - 8, "text-anchor": "middle"}, bottom));
      return [x, y];
    }
    function nothing(svg, text) {
      svg.replaceChildren(element("text", {x: 450, y: svg.viewBox.baseVal.height / 2,
        "text-anchor": "middle"}, text));
    }
    function drawLatency(recent) {
      const svg = byId("latency");
      if (!recent.length) return nothing(svg, "no inference yet");
      const high = Math.max(...recent.map(r => r[1] + r[2])), first = recent[0][0];
      const last = recent[recent.length - 1][0];
      const [x, y] = axes(svg, [first, last], [0, high * 1.05], " ms",
        recent.length + " inferences within " + span(last - first));
      const width = Math.max(1.5, Math.min(12, 700 / recent.length));
      for (const [time, waited, computed] of recent) {
        const at = x(time) - width / 2;
        svg.append(element("rect", {x: at, width, y: y(computed), height: y(0) - y(computed),
          fill: "var(--infer)", class: "inference"}));
        svg.append(element("rect", {x: at, width, y: y(computed + waited),
          height: y(computed) - y(computed + waited), fill: "var(--wait)"}));
      }
    }
    function drawChunk(chunk) {
      const svg = byId("chunk"), values = chunk.flat().filter(v => v !== null);
      byId("size").textContent = chunk.length
        ? chunk.length + " steps of " + chunk[0].length + " dimensions" : "";
      if (!values.length) return nothing(svg, "no action yet");
      const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.05;
      const [x, y] = axes(svg, [0, chunk.length - 1], [low - room, high + room], "",
        "steps 0 to " + (chunk.length - 1));
      for (let d = 0; d < chunk[0].length; d++) {
        let path = "", pen = "M";
        chunk.forEach((action, step) => {
          if (action[d] === null) return pen = "M";
          path += pen + x(step).toFixed(1) + " " + y(action[d]).toFixed(1);
          pen = "L";
        });
        const line = element("path", {d: path, fill: "none", "stroke-width": 1.6, class: "action",
          stroke: colors[d % 10], "stroke-dasharray": ["", "7 3", "2 3", "9 3 2 3"][Math.floor(d / 10) % 4]});
        line.append(element("title", {}, "dimension " + d));
        svg.append(line);
      }
    }
    function show(s) {
      byId("state").textContent = "Up for " + span(s.uptime) + ".";
      const total = s.recent.map(r => r[1] + r[2]);
      const numbers = [["clients", s.clients], ["waiting", s.waiting], ["inferences", s.inferences],
        ["errors", s.errors]];
      if (total.length) numbers.push(["latest", ms(total[total.length - 1])],
        ["half within", ms(quantile(total, 0.5))], ["95 % within", ms(quantile(total, 0.95))]);
      byId("numbers").replaceChildren(...numbers.map(([name, value]) => {
        const box = document.createElement("div"), b = document.createElement("b");
        const caption = document.createElement("span");
        b.textContent = value; b.id = name; caption.textContent = name;
        box.append(b, caption);
        return box;
      }));
      drawLatency(s.recent);
      drawChunk(s.chunk);
      table("policy", s.policy.map(f => [f.name, f.value]));
      table("cards", s.cards.length ? s.cards.map(c => [c.name,
        c.temperature == null ? "temperature unknown" : c.temperature.toFixed(0) + " °C",
        c.power == null ? "" : c.power.toFixed(0) + " W", c.problem || "ready"])
        : [["This machine has no card."]]);
    }
    async function ask() {
      try {
        const answer = await fetch("status.json");
        if (!answer.ok) throw new Error("it says " + answer.status);
        show(await answer.json());
        byId("state").classList.remove("problem");
      } catch (error) {
        byId("state").textContent = "The server does not answer: " + error.message;
        byId("state").classList.add("problem");
      }
      setTimeout(ask, 1000);
    }
    ask();
    </script>
    </body>
    </html>

    """#
}
