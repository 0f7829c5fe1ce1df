// Puts the page together: the machine's description and the worker's text are in the document.

import { Crew } from "./crew.js";
import { Film } from "./film.js";
import { Hand } from "./hand.js";
import { Hidden } from "./hidden.js";
import { unpacked } from "./levels.js";
import { Meters, scientific, thousands } from "./meters.js";
import { MOTION, THEME } from "./paint.js";
import { Player } from "./player.js";
import { Unit } from "./unit.js";
import { Wall } from "./wall.js";

const QUARTETS = 8;  // 32 digits
const KELVIN = 300;

const at = (id) => document.getElementById(id);
const say = (text) => (at("status").textContent = text);

// Nothing runs, for a reason.
function refuse(reason) {
  say(reason);
  at("play").disabled = true;
}

// The value of a slider in words, beside it and for those who hear it.
function showValue(slider, text) {
  at(`${slider}-shown`).textContent = text;
  at(slider).setAttribute("aria-valuetext", text);
}

// What this page cannot do without.
function missing() {
  const needs = {
    "web workers": typeof Worker === "function",
    "blobs": typeof Blob === "function" && typeof URL?.createObjectURL === "function",
    "a canvas": Boolean(document.createElement("canvas").getContext?.("2d")),
    "pointer events": typeof PointerEvent === "function",
  };
  return Object.keys(needs).filter((name) => !needs[name]);
}

function startUnit() {
  const unit = new Unit(at("unit")), [well, warmth, tilt] = ["unit-well", "unit-temperature", "unit-tilt"].map(at);
  let seen = true;
  new IntersectionObserver(([entry]) => (seen = entry.isIntersecting)).observe(at("unit"));
  const read = () => {
    unit.set({ j2: Number(well.value), temperature: Number(warmth.value), tilt: -Number(tilt.value) });
    showValue("unit-temperature", `kT = ${Number(warmth.value).toFixed(2)}`);
    showValue("unit-tilt", Number(tilt.value).toFixed(2).replace("-", "−"));
    if (!unit.moving) unit.still();
  };
  const move = (moving) => {
    unit.moving = moving;
    at("unit-play").textContent = moving ? "Pause the ball" : "Let the ball move";
  };
  move(!MOTION.matches);
  MOTION.addEventListener("change", () => move(!MOTION.matches));
  at("unit-play").addEventListener("click", () => move(!unit.moving));
  for (const control of [well, warmth, tilt]) control.addEventListener("input", read);
  read();
  unit.start(() => seen);
  return unit;
}

function startMachine(description) {
  const { first: stage, stages, order, image_shape } = description, machines = [stage, ...stages];
  const parameters = new URLSearchParams(location.hash.slice(1));
  const crew = new Crew(at("worker").textContent, description, QUARTETS, (reason) =>
    refuse(`This browser does not run a worker made from text, which the simulation needs: ${reason}`),
  );
  const shown = ["clock", "heat", "joule", "energy", "rate", "curve"].map((name) => [name, at(name)]);
  const meters = new Meters(Object.fromEntries(shown), description);
  const wall = new Wall(at("wall"), 4 * QUARTETS, image_shape, choose);
  const hand = new Hand(at("hand"), image_shape, { changed: (known, done) => player.hold(known, done), say });
  const show = (text) => (at("hidden-said").textContent = text);
  const hidden = new Hidden(at("hidden"), at("field"), image_shape, { show, say });
  const pixels = wall.size, film = order.length ? new Film(at("film"), description) : null;
  at("stages").hidden = !film;
  at("times").hidden = Boolean(film);

  const player = new Player(crew, stage.steps, {
    pass: (frame) => meters.keep(frame),
    show: (frame) => {
      wall.draw(frame.images);
      hand.draw(frame.images.subarray(player.chosen * pixels, (player.chosen + 1) * pixels));
      hidden.use(machines[frame.number]);
      hidden.draw(frame.units);
      film?.draw(frame.film);
      meters.show(frame, player.chosen);
    },
    changed: () => {
      const { frame, playing } = player;
      at("play").textContent = playing ? "Pause" : frame.finished ? "Play again" : "Play";
      document.body.dataset.run = playing ? "playing" : frame.finished ? "finished" : "ready";
      if (playing) say("The machine is running.");
      else if (frame.finished) say(finishedText(frame));
    },
  });

  function finishedText(frame) {
    const heat = frame.heat[player.chosen], kT = thousands(heat / (description.temperature || 1));
    const joule = scientific(heat * description.joule_per_energy);
    return `Read out. Sample ${player.first + player.chosen} gave off ${kT} kT, ${joule} joule.`;
  }

  function choose(place) {
    wall.select(place);
    at("sample").textContent = player.first + place;
    player.watch(place);
  }

  function from(first) {
    player.first = first;
    wall.name(first);
    at("sample").textContent = first + player.chosen;
  }

  function showSettings() {
    const { factor, end } = player.settings, temperature = stage.temperature * factor;
    const kT = (description.temperature * factor).toPrecision(2);
    showValue("temperature", `${Math.round(KELVIN * factor)} K, kT = ${kT}`);
    showValue("time", (end * stage.dt).toFixed(1));
    if (film && factor !== 1) {
      at("python").textContent = "At the temperature of 300 K only: a chain's machines have their own.";
      return;
    }
    const own = [];
    if (temperature !== stage.temperature) own.push(`"temperature": ${temperature}`);
    if (end !== stage.steps) own.push(`"t_final": ${Number((end * stage.dt).toPrecision(12))}`);
    const config = own.length ? `, config={${own.join(", ")}}` : "";
    const machine = `realise(load_checkpoint("${description.name}"${config}), bits=${description.bits})`;
    at("python").textContent = `${machine}.sample(1, seed=${player.seed}, sample_ids=tensor([n]))`;
  }

  at("time").max = 2 * stage.steps;
  at("time").min = Math.max(10, stage.readout_steps + 1);
  at("time").value = stage.steps;
  at("temperature").addEventListener("input", (event) => {
    player.settings.factor = 2 ** Number(event.target.value);
    showSettings();
    player.turned();
  });
  at("time").addEventListener("input", (event) => {
    player.settings.end = Number(event.target.value);
    showSettings();
    player.turned();
  });
  at("pace").addEventListener("input", (event) => (player.pace = Number(event.target.value)));
  at("play").addEventListener("click", () => (player.playing ? player.pause() : player.play()));
  at("again").addEventListener("click", () => player.again());
  at("next").addEventListener("click", () => {
    from(player.first + player.samples);
    player.again();
  });
  at("seed").addEventListener("change", (event) => {
    const seed = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.floor(Number(event.target.value) || 0)));
    event.target.value = player.seed = seed;
    from(0);
    showSettings();
    player.again();
  });
  for (const tool of document.querySelectorAll("input[name=tool]")) {
    tool.addEventListener("change", () => (hand.tool = tool.value));
  }
  const [height, width] = image_shape, regions = {
    upper: (_, row) => row < height / 2,
    left: (column) => column < width / 2,
    all: () => true,
    none: () => false,
  };
  for (const [name, wanted] of Object.entries(regions)) {
    at(`hold-${name}`).addEventListener("click", () => hand.holdWhere(wanted));
  }

  const labels = stage.groups.find(({ name }) => name === "label");
  at("labels").hidden = !labels;
  at("no-labels").hidden = Boolean(labels);
  at("label").append(...Array.from({ length: labels?.size ?? 0 }, (_, k) => new Option(k, k)));
  at("label").addEventListener("input", (event) => {
    player.label = event.target.value === "" ? null : Number(event.target.value);
    player.again();
  });

  const sample = Math.max(0, Math.floor(Number(parameters.get("sample")) || 0));
  player.seed = Math.max(0, Math.floor(Number(parameters.get("seed") ?? description.seed) || 0));
  at("seed").value = player.seed;
  player.chosen = sample % player.samples;
  from(sample - player.chosen);
  wall.select(player.chosen);
  showSettings();
  hidden.use(stage);
  player.begin().then(() => {
    say("Thermal noise. Press play.");
    if (parameters.has("play")) player.play();
  });
  return () => player.frame && player.show(player.frame);
}

const lacking = missing();
if (lacking.length) {
  refuse(`This browser lacks ${lacking.join(" and ")}, which the simulation needs.`);
} else {
  const unit = startUnit(), repaint = startMachine(unpacked(JSON.parse(at("description").textContent)));
  const redraw = () => {
    unit.draw();
    repaint();
  };
  THEME.addEventListener("change", redraw);
  window.addEventListener("resize", redraw);
}
