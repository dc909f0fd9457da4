// The overview's charts: drawn from the JSON in `data-chart`, again whenever that changes, in the
// colours of the theme.
(() => {
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const two = (number) => String(number).padStart(2, "0");
  const clock = (seconds) => {
    const at = new Date(seconds * 1000);
    const isLocal = document.documentElement.dataset.clock === "local";
    return isLocal ? `${two(at.getHours())}:${two(at.getMinutes())}` : `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  };
  const large = (value, scale, unit) => `${(value / scale).toFixed(1).replace(/\.0$/, "")}${unit}`;
  const figure = (value) => (value >= 1e6 ? large(value, 1e6, "M") : value >= 1e4 ? large(value, 1e3, "k") : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, ""));
  const written = (value, unit) => (value == null ? "–" : `${figure(value)}${unit}`);

  const axis = (values, more = {}) => ({
    stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
    font: "12px system-ui, sans-serif", values, ...more,
  });

  // A point with no neighbours has no line to be seen by, so it is drawn as a dot.
  const isolated = (u, series) => {
    const values = u.data[series];
    return values.flatMap((value, i) => (value != null && values[i - 1] == null && values[i + 1] == null ? [i] : []));
  };
  const dots = (name) => ({ show: true, size: 6, fill: colour(name), filter: isolated });

  const options = (kind, width) => {
    const bars = uPlot.paths.bars({ size: [0.8, 24], gap: 0 });
    const time = { label: "From", value: (_, seconds) => (seconds == null ? "–" : clock(seconds)) };
    // What failed is drawn behind what was delivered, as high as both.
    const speed = [
      { label: "Failed", width: 0, stroke: colour("--bad"), fill: colour("--bad"), paths: bars, points: { show: false },
        value: (u, both, _, i) => written(i == null ? null : both - u.data[2][i], "") },
      { label: "Delivered", width: 0, stroke: colour("--good"), fill: colour("--good"), paths: bars, points: { show: false },
        value: (_, value) => written(value, "") },
    ];
    const latency = [
      { label: "95 %", stroke: colour("--accent"), width: 2, points: dots("--accent"), value: (_, value) => written(value, " ms") },
    ];
    const line = (label, name) => ({ label, stroke: colour(name), width: 2, points: dots(name), value: (_, value) => written(value, "") });
    const backlog = [line("Due", "--wait"), line("Scheduled", "--soft"), line("Held", "--bad")];
    return {
      width, height: 200, padding: [12, 20, 0, 0],
      scales: {
        x: { range: (u, first, last) => { const half = (last - first) / u.data[0].length / 2; return [first - half, last + half]; } },
        y: { range: (_, low, high) => [0, Math.max(1, (high || 0) * 1.1)] },
      },
      axes: [
        axis((_, splits) => splits.map(clock), { space: 60, size: 32 }),
        axis((_, splits) => splits.map(figure), { size: 56 }),
      ],
      series: [time, ...{ speed, latency, backlog }[kind]],
      cursor: { drag: { x: false, y: false } },
      legend: { live: true },
    };
  };

  const columns = (kind, { times, delivered, failed, p95, due, scheduled, held }) => ({
    speed: [times, delivered.map((value, i) => value + failed[i]), delivered],
    latency: [times, p95],
    backlog: [times, due, scheduled, held],
  })[kind];

  const draw = (redraw) => {
    const charts = document.getElementById("charts");
    for (const [element, plot] of drawn) {
      if (redraw || !element.isConnected) {
        plot.destroy();
        drawn.delete(element);
      }
    }
    if (!charts) return;
    const data = JSON.parse(charts.dataset.chart);
    for (const element of charts.querySelectorAll("[data-kind]")) {
      const kind = element.dataset.kind;
      const plot = drawn.get(element);
      if (plot) plot.setData(columns(kind, data));
      else drawn.set(element, new uPlot(options(kind, element.clientWidth), columns(kind, data), element));
    }
  };

  draw(false);
  new MutationObserver(() => draw(false)).observe(document.getElementById("main"), {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-chart"],
  });
  new MutationObserver(() => draw(true)).observe(document.documentElement, { attributeFilter: ["data-theme", "data-clock"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  addEventListener("resize", () => {
    for (const [element, plot] of drawn) plot.setSize({ width: element.clientWidth, height: 200 });
  });
})();
