// Connects the controls of the page with its data, and shows errors.

import * as api from "./api.js";
import { Chart } from "./chart.js";
import { stamp } from "./format.js";
import {
  make, showEvents, showFacts, showHorizon, showLegend, showOdds, showReadout, showValues, showWarnings,
} from "./panels.js";
import { RunForm } from "./run.js";
import { readView, withForecasts } from "./view.js";

const LOADING_AGAIN_MS = 2000;
const CLASSES = { crypto: "Crypto", fx: "FX", metal: "Metals", equity: "Equities", index: "Indices", commodity: "Commodities" };
const EVENT_NAMES = { fomc: "FOMC", cpi: "CPI", nfp: "NFP", gdp: "GDP", pce: "PCE", rate_decision: "rate", earnings: "earnings" };

const $ = (id) => document.getElementById(id);
const state = { symbols: [], past: [], view: null, stored: null, turn: 0 };
const chart = new Chart($("chart"), (place) => state.view && showReadout($("readout"), state.view, place));
const form = new RunForm(showRun, onRefusal);

/** Load the symbols, then show the symbol in the address, or the first with a forecast. */
async function start() {
  watchModel();
  try {
    state.symbols = (await api.symbols()).symbols;
  } catch (error) {
    onRefusal(error);
    return;
  }
  hideNotice();
  fillSymbols();
  if (state.symbols.length === 0) {
    showNotice("No candles yet", "The database holds no candles of any registered symbol. Load some, then reload:", "python -m flows.load candles candles_1h.parquet --timeframe 1h");
    return;
  }
  const address = new URLSearchParams(location.hash.slice(1));
  const name = address.get("symbol");
  const known = state.symbols.find((one) => one.symbol === name || one.aliases.includes(name));
  const forecast = state.symbols.find((one) => one.timeframes.some((frame) => frame.last_forecast));
  $("symbol").value = (known ?? forecast ?? state.symbols[0]).symbol;
  await chooseSymbol(address.get("timeframe"), address.get("as_of"));
}

/** Poll the model until it is loaded. */
async function watchModel() {
  const badge = $("model");
  try {
    form.model = await api.model();
    badge.dataset.state = "ready";
    const { name, version, precision, device, has_events: events } = form.model;
    const on = `${device.name}${device.fallback ? ", not a GPU: see the log" : ""}`;
    badge.textContent = [name, version.slice(0, 12), precision, on, ...(events ? [] : ["no events"])].join(" · ");
    form.update();
  } catch (error) {
    if (error.status === 401) return;
    badge.dataset.state = error.status === 503 ? "loading" : "down";
    badge.textContent = error.status === 503 ? "The model is still loading; stored forecasts are shown" : error.message;
    setTimeout(watchModel, LOADING_AGAIN_MS);
  }
}

function fillSymbols() {
  const groups = Object.entries(CLASSES).map(([key, label]) => {
    const group = document.createElement("optgroup");
    group.label = label;
    const members = state.symbols.filter((one) => one.asset_class === key);
    group.append(...members.map((one) => new Option(one.symbol, one.symbol)));
    return group;
  });
  $("symbol").replaceChildren(...groups.filter((group) => group.children.length));
  $("symbol").disabled = state.symbols.length === 0;
}

const ALWAYS_OFFERED = ["1h", "1d"];
const chosenSymbol = () => state.symbols.find((one) => one.symbol === $("symbol").value);
const chosenTimeframe = () => document.querySelector('input[name="timeframe"]:checked')?.value;

/** Offer the timeframes of a symbol; keep the current one if it is among them. */
async function chooseSymbol(timeframe, asOf) {
  const frames = chosenSymbol().timeframes;
  const wanted = timeframe ?? chosenTimeframe();
  const chosen = frames.find((one) => one.timeframe === wanted)
    ?? frames.find((one) => one.last_forecast) ?? frames[0];
  for (const radio of document.querySelectorAll('input[name="timeframe"]')) {
    radio.disabled = !frames.some((one) => one.timeframe === radio.value);
    radio.parentElement.hidden = radio.disabled && !ALWAYS_OFFERED.includes(radio.value);
    radio.checked = radio.value === chosen.timeframe;
  }
  await chooseTimeframe(asOf);
}

/** Offer the stored forecasts; select that of `asOf`, or the newest. */
async function chooseTimeframe(asOf) {
  const turn = ++state.turn;
  await guarded(turn, async () => {
    const { predictions } = await api.history($("symbol").value, chosenTimeframe());
    if (turn !== state.turn) return;
    state.past = predictions;
    const several = new Set(predictions.map((one) => one.model_name)).size > 1;
    const options = predictions.map((one, i) => {
      const active = (one.event_context?.events_active ?? []).map((name) => EVENT_NAMES[name] ?? name);
      const notes = [several ? one.model_name : "", one.backfilled ? "backfilled" : "", active.join(", ")].filter(Boolean);
      return new Option([stamp(Date.parse(one.as_of), chosenTimeframe()), ...notes].join(" · "), i);
    });
    $("stored").replaceChildren(...options, new Option(options.length ? "newest candles, nothing stored" : "nothing stored: newest candles", ""));
    const wanted = predictions.findIndex((one) => one.as_of === asOf);
    $("stored").value = String(wanted >= 0 ? wanted : predictions.length ? 0 : "");
    await chooseForecast();
  });
}

/** Read and show the selected forecast. */
async function chooseForecast() {
  const turn = ++state.turn;
  const index = $("stored").value === "" ? -1 : Number($("stored").value);
  const past = state.past[index];
  $("stored").disabled = false;
  $("earlier").disabled = index < 0 || index >= state.past.length - 1;
  $("later").disabled = index <= 0;
  await guarded(turn, async () => {
    const { symbol, asset_class: assetClass, tick_size: tickSize } = chosenSymbol();
    const timeframe = chosenTimeframe();
    const which = past && { timeframe, as_of: past.as_of, model_name: past.model_name };
    const [row, inputs] = past
      ? await Promise.all([api.prediction(symbol, which), past.has_inputs ? api.inputs(symbol, which) : null])
      : [null, null];
    const view = await readView({ symbol, assetClass, tickSize, timeframe, history: Number($("history").value), row });
    if (turn !== state.turn) return;
    const address = new URLSearchParams({ symbol, timeframe, ...(past && { as_of: past.as_of }) });
    history.replaceState(null, "", `#${address}`);
    if (view.candles.length === 0) {
      showNotice(`No ${timeframe} candles of ${symbol}`, "Load some, or choose another timeframe.");
      return;
    }
    state.stored = view;
    form.offer(view, inputs);
    await show(view);
  });
}

async function show(view) {
  state.view = view;
  hideNotice();
  $("back").hidden = view === state.stored;
  showFacts($("facts"), view);
  showHorizon($("horizon"), view);
  showOdds($("odds"), view);
  showWarnings($("warnings"), view);
  showLegend($("legend"), view);
  showValues($("values"), view);
  showEvents($("events"), view);
  showReadout($("readout"), view, null);
  const drawn = view.forecasts.map((one) => `${one.name}, ${one.times.length} candles`).join("; ");
  $("chart").setAttribute("aria-label", `${view.symbol} ${view.timeframe}: ${view.candles.length} candles. ${drawn || "No forecast"}. Arrow keys read values.`);
  await chart.draw(view);
  document.body.dataset.shown = `${view.key} ${view.forecasts.map((one) => one.name).join("+")}`;
}

function showRun(view, forecasts) {
  if (view === state.stored) show(withForecasts(view, forecasts));
}

/** Run work and show its error, unless the selection has changed since. */
async function guarded(turn, work) {
  document.body.classList.add("busy");
  try {
    await work();
  } catch (error) {
    if (turn === state.turn || error.status === 401) onRefusal(error);
  } finally {
    document.body.classList.remove("busy");
  }
}

/** Show an error that concerns the whole page. */
function onRefusal(error) {
  if (!(error instanceof api.Refusal)) throw error;
  if (error.status === 401) {
    askForKey(api.hasKey() ? "That key was not accepted." : null);
  } else if (state.view === null || error.status === 0 || error.type.includes("database")) {
    const database = error.type.includes("database");
    showNotice(database ? "No candles to show" : "Something is missing", error.message);
  }
}

function showNotice(title, text, command) {
  const again = make("button", { className: "primary", text: "Try again" });
  again.type = "button";
  again.addEventListener("click", start);
  const lines = [make("h2", { text: title }), make("p", { text })];
  if (command) lines.push(make("p", { children: [make("code", { text: command })] }));
  $("notice").replaceChildren(...lines, again);
  $("notice").hidden = false;
  $("board").hidden = true;
  document.querySelector("aside").hidden = true;
}

function hideNotice() {
  $("notice").hidden = true;
  $("board").hidden = false;
  document.querySelector("aside").hidden = false;
}

function askForKey(reason) {
  if ($("key-dialog").open) return;
  if (reason) $("key-reason").textContent = reason;
  $("key").value = "";
  $("key-dialog").returnValue = "";
  $("key-dialog").showModal();
}

$("key-dialog").addEventListener("close", () => {
  if ($("key-dialog").returnValue !== "use" || !$("key").value.trim()) {
    if (state.view === null) showNotice("A key is needed", "This server answers only with an API key.");
    return;
  }
  api.keepKey($("key").value.trim());
  $("change-key").hidden = false;
  start();
});
$("change-key").hidden = !api.hasKey();
$("change-key").addEventListener("click", () => askForKey(null));

$("controls").addEventListener("submit", (event) => event.preventDefault());
$("symbol").addEventListener("change", () => chooseSymbol(null, null));
for (const radio of document.querySelectorAll('input[name="timeframe"]')) {
  radio.addEventListener("change", () => chooseTimeframe(null));
}
$("stored").addEventListener("change", chooseForecast);
$("history").addEventListener("change", chooseForecast);
const step = (by) => {
  $("stored").value = String(Number($("stored").value) + by);
  chooseForecast();
};
$("earlier").addEventListener("click", () => step(1));
$("later").addEventListener("click", () => step(-1));
$("back").addEventListener("click", () => show(state.stored));

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.view && chart.draw(state.view));
const tellTime = () => { $("clock").textContent = `${stamp(Date.now())} UTC`; };
tellTime();
setInterval(tellTime, 1000);
start(); // modules run after earlier deferred scripts, so that the chart library is loaded
