/* The charts of a device: one uPlot each, with one cursor over all of them. Dragging zooms all, a double click goes
   back. Times are those of the browser's time zone. */
"use strict";
(() => {
  const root = document.getElementById("charts");
  const holder = document.getElementById("charts-list");
  const note = document.getElementById("charts-note");
  const form = document.getElementById("charts-range");
  const more = document.getElementById("charts-more");
  const timeline = document.getElementById("timeline");
  const HEIGHT = 190;
  const REFRESH = 30_000;
  const WAIT_MS = 40_000; // longer than the server gives a statement
  const COLOURS = ["--nms-line-1", "--nms-line-2", "--nms-line-3", "--nms-line-4"];
  const plots = new Map(); // by the chart's name
  const past = []; // ranges to go back to
  let range = { length: 86_400 }; // seconds up to now, or {start, end}
  let showAll = false;
  let asked = 0;

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const ZONE = new Intl.DateTimeFormat("en", { timeZoneName: "short" })
    .formatToParts(new Date())
    .find((part) => part.type === "timeZoneName").value;

  function moment(seconds) {
    const at = new Date(seconds * 1000);
    // Read as UTC, shifted by the offset of the browser's time zone at that moment.
    return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
  }

  function prefixed(value, base, unit) {
    const steps = ["", "k", "M", "G", "T", "P"];
    let power = 0;
    while (Math.abs(value) >= base && power < steps.length - 1) {
      value /= base;
      power += 1;
    }
    const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : 1;
    return `${value.toFixed(digits)} ${steps[power]}${unit}`;
  }

  function shown(value, unit) {
    if (value === null || value === undefined) {
      return "–";
    }
    switch (unit) {
      case "%":
        return `${value.toFixed(1)} %`;
      case "ms":
        return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
      case "bit/s":
        return prefixed(value, 1000, unit);
      default:
        return Math.abs(value) < 1000 ? String(Number(value.toPrecision(4))) : prefixed(value, 1000, "");
    }
  }

  function times(grid) {
    return Array.from({ length: grid.count }, (_, place) => grid.start + place * grid.step);
  }

  /* Columns for uPlot: the times, then of each line its mean and, where there is a band, its greatest and least. */
  function columns(chart, grid) {
    const data = [times(grid)];
    for (const line of chart.lines) {
      data.push(line.mean);
      if (line.high.length > 0) {
        data.push(line.high, line.low);
      }
    }
    return data;
  }

  /* A time of the axis: with its date where that is another than the one before. */
  function tick(at, before, step) {
    const [date, time] = moment(at).split(" ");
    if (step >= 86_400) {
      return date;
    }
    const clock = step < 60 ? time : time.slice(0, 5);
    return before === undefined || moment(before).slice(0, 10) !== date ? `${clock}\n${date}` : clock;
  }

  function shape(chart) {
    return chart.lines.map((line) => `${line.label}${line.high.length > 0}`).join("|");
  }

  function options(chart, width) {
    const series = [{ label: ZONE, value: (_, at) => (at === null ? "–" : moment(at)) }];
    const bands = [];
    chart.lines.forEach((line, number) => {
      const stroke = () => css(COLOURS[number % COLOURS.length]);
      series.push({
        label: line.label,
        stroke,
        width: 1.5,
        dash: number % 2 ? [6, 3] : undefined, // colour alone does not tell two lines apart
        value: (_, value) => shown(value, chart.unit),
        points: { show: (plot, index, first, last) => last - first < 60 },
      });
      if (line.high.length > 0) {
        const place = series.length;
        for (const end of ["most", "least"]) {
          series.push({
            label: `${line.label}, ${end}`,
            width: 0,
            points: { show: false },
            value: (_, value) => shown(value, chart.unit),
          });
        }
        bands.push({ series: [place, place + 1], fill: () => `color-mix(in oklab, ${stroke()} 22%, transparent)` });
      }
    });
    const axis = { stroke: () => css("--nms-text"), grid: { stroke: () => css("--nms-line"), width: 1 }, ticks: { show: false } };
    const percent = chart.unit === "%";
    return {
      width,
      height: HEIGHT,
      cursor: { sync: { key: "device", scales: ["x", null] }, drag: { x: true, y: false, setScale: false }, dblclick: () => null },
      scales: { y: { range: (_, low, high) => (percent ? [0, 100] : [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.1 : 1]) } },
      axes: [{ ...axis, values: (_, ats, __, ___, step) => ats.map((at, place) => tick(at, ats[place - 1], step)) }, { ...axis, size: 72, values: (_, values) => values.map((value) => shown(value, chart.unit)) }],
      legend: { live: true },
      series,
      bands,
      hooks: {
        setSelect: [
          (plot) => {
            if (plot.select.width > 4) {
              const start = plot.posToVal(plot.select.left, "x");
              const end = plot.posToVal(plot.select.left + plot.select.width, "x");
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              zoom({ start, end: Math.max(end, start + 60) });
            }
          },
        ],
      },
    };
  }

  function inWords(chart) {
    const words = chart.lines.map((line) => {
      const known = line.mean.filter((value) => value !== null);
      if (known.length === 0) {
        return `${line.label}: no values`;
      }
      const highs = line.high.length > 0 ? line.high.filter((value) => value !== null) : known;
      const greatest = highs.reduce((one, two_) => Math.max(one, two_));
      return `${line.label}: latest ${shown(known[known.length - 1], chart.unit)}, greatest ${shown(greatest, chart.unit)}`;
    });
    return `${chart.title}. ${words.join("; ")}.`;
  }

  function draw(answer) {
    const wanted = new Set(answer.charts.map((chart) => chart.name));
    for (const [name, plot] of plots) {
      if (!wanted.has(name)) {
        plot.plot.destroy();
        plot.figure.remove();
        plots.delete(name);
      }
    }
    for (const chart of answer.charts) {
      const data = columns(chart, answer.grids[chart.grid]);
      let held = plots.get(chart.name);
      if (held && held.shape !== shape(chart)) {
        held.plot.destroy();
        held.figure.remove();
        plots.delete(chart.name);
        held = undefined;
      }
      if (held) {
        held.plot.setData(data);
      } else {
        const figure = document.createElement("figure");
        figure.className = "nms-card nms-chart";
        const caption = document.createElement("figcaption");
        caption.textContent = chart.unit ? `${chart.title}, ${chart.unit}` : chart.title;
        figure.append(caption);
        holder.append(figure);
        const plot = new uPlot(options(chart, width(figure)), data, figure);
        held = { plot, figure, shape: shape(chart) };
        plots.set(chart.name, held);
      }
      held.plot.setScale("x", { min: answer.start, max: answer.end });
      held.plot.root.setAttribute("role", "img");
      held.plot.root.setAttribute("aria-label", inWords(chart));
    }
    more.hidden = answer.left_out === 0;
    more.textContent = `Show ${answer.left_out} more charts`;
    const level = answer.grids.samples.level;
    const step = answer.grids.samples.step;
    note.textContent = answer.charts.length === 0
      ? "There are no values in this range."
      : `${moment(answer.start)} to ${moment(answer.end)} ${ZONE}, a point every ${length(step)}${level === "raw" ? "" : `, from rollups of ${level}`}.`;
  }

  function length(seconds) {
    const unit = [[86_400, "d"], [3_600, "h"], [60, "min"]].find(([size]) => seconds % size === 0 && seconds >= size);
    return unit ? `${seconds / unit[0]} ${unit[1]}` : `${seconds} s`;
  }

  function width(figure) {
    const style = getComputedStyle(figure);
    return figure.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  }

  /* Periods in which the device was not polled, and outages, as parts of one bar. */
  function drawTimeline(answer) {
    const whole = answer.end - answer.start;
    timeline.replaceChildren(
      ...answer.periods.map((period) => {
        const part = document.createElement("span");
        part.className = `nms-period nms-period-${period.kind}`;
        part.style.left = `${(100 * (period.start - answer.start)) / whole}%`;
        part.style.width = `${Math.max(0.2, (100 * (period.end - period.start)) / whole)}%`;
        part.title = `${period.words}, ${moment(period.start)} to ${moment(period.end)} ${ZONE}`;
        return part;
      }),
    );
    const down = answer.periods.filter((period) => period.kind === "down");
    timeline.setAttribute("aria-label", down.length === 0 ? "Timeline: no outage." : `Timeline: ${down.length} outages.`);
  }

  function ends() {
    const now = Date.now() / 1000;
    return range.length ? [now - range.length, now] : [range.start, range.end];
  }

  async function load() {
    asked += 1;
    const mine = asked;
    holder.setAttribute("aria-busy", "true");
    const [start, end] = ends();
    const query = new URLSearchParams({ start, end });
    if (showAll) {
      query.set("all", "1");
    }
    try {
      const signal = AbortSignal.timeout(WAIT_MS);
      const answer = await fetch(`${root.dataset.charts}?${query}`, { redirect: "manual", cache: "no-store", signal });
      if (mine !== asked) {
        return; // another range was chosen meanwhile
      }
      const body = answer.ok ? await answer.json() : null;
      if (body === null) {
        note.textContent = answer.status === 400 ? (await answer.json()).error.message : "The values cannot be had at this moment.";
        return;
      }
      draw(body);
      drawTimeline(body);
    } catch (error) {
      note.textContent = "The server does not answer; what you see is old.";
      throw error;
    } finally {
      if (mine === asked) {
        holder.removeAttribute("aria-busy");
      }
    }
  }

  function choose(next) {
    range = next;
    const pressed = range.length ? String(range.length) : "";
    for (const button of form.querySelectorAll("button[data-length]")) {
      button.setAttribute("aria-pressed", String(button.dataset.length === pressed));
    }
    const [start, end] = ends();
    form.elements.start.value = moment(start).slice(0, 16).replace(" ", "T");
    form.elements.end.value = moment(end).slice(0, 16).replace(" ", "T");
    const url = new URL(location.href);
    url.search = new URLSearchParams(range.length ? { range: range.length } : { start: Math.round(start), end: Math.round(end) });
    history.replaceState(null, "", url);
    return load();
  }

  function zoom(next) {
    past.push(range);
    choose(next);
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-length]");
    if (button) {
      past.push(range);
      choose({ length: Number(button.dataset.length) });
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [start, end] = ["start", "end"].map((name) => Date.parse(form.elements[name].value) / 1000);
    if (end > start) {
      zoom({ start, end });
    } else {
      note.textContent = "The range must end after it starts.";
    }
  });
  holder.addEventListener("dblclick", () => {
    if (past.length > 0) {
      choose(past.pop());
    }
  });
  more.addEventListener("click", () => {
    showAll = true;
    load();
  });
  new ResizeObserver(() => {
    for (const { plot, figure } of plots.values()) {
      if (figure.clientWidth > 0 && plot.width !== width(figure)) {
        plot.setSize({ width: width(figure), height: HEIGHT });
      }
    }
  }).observe(holder);
  new MutationObserver(() => {
    for (const { plot } of plots.values()) {
      plot.redraw(false, true);
    }
  }).observe(document.documentElement, { attributeFilter: ["class"] });
  setInterval(() => {
    if (range.length && !document.hidden) {
      load();
    }
  }, REFRESH);

  const given = new URLSearchParams(location.search);
  const [start, end] = [Number(given.get("start")), Number(given.get("end"))];
  choose(end > start && start > 0 ? { start, end } : { length: Number(given.get("range")) || 86_400 });
})();
