// The form that runs a forecast with /predict.

import * as api from "./api.js";
import { answeredForecast, STORED_BAND } from "./view.js";

const PATHS = [5, 10, 20, 50, 100];
const PATHS_SHOWN = 20;
const PATHS_COMPARED = 3;
const AHEAD = [12, 24, 48, 120];
const BANDS = [50, 80, 90, 95];
const MOVE_OFFERED = {
  "1m": 0.002, "5m": 0.005, "15m": 0.01, "30m": 0.01, "1h": 0.02, "2h": 0.02, "4h": 0.03, "1d": 0.05, "1w": 0.1,
};
const LONGEST_LOOKBACK = 512;
const LOOKS = {
  with: { name: "With events", short: "with events", look: "fan" },
  without: { name: "Without events", short: "without events", look: "other" },
};

const $ = (id) => document.getElementById(id);

function fill(select, values, chosen) {
  const all = [...new Set([...values, chosen])].sort((one, other) => one - other);
  select.replaceChildren(...all.map((value) => new Option(value, value, false, value === chosen)));
}

export class RunForm {
  /** `onForecasts` receives the forecasts; `onRefusal` the errors of the server. */
  constructor(onForecasts, onRefusal) {
    this.onForecasts = onForecasts;
    this.onRefusal = onRefusal;
    this.model = null;
    this.running = null;
    $("band").replaceChildren(...BANDS.map((band) => new Option(`${band} %`, band, false, band === STORED_BAND)));
    $("run").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.running.abort();
      else this.run();
    });
    $("new-seed").addEventListener("click", () => this.offerSeed(null));
  }

  offerSeed(seed) {
    $("seed").value = String(seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  }

  /** Fill the form for a view; `inputs` are those of its stored forecast, or null. */
  offer(view, inputs) {
    this.running?.abort();
    Object.assign(this, { view, inputs });
    const limits = this.model?.limits;
    this.offerSeed(Number.isSafeInteger(view.row?.seed) ? view.row.seed : null);
    fill($("paths"), PATHS.filter((count) => count <= (limits?.max_sample_count ?? 20)), inputs?.sample_count ?? 20);
    fill($("ahead"), view.row ? [] : AHEAD, view.row ? view.row.pred_len : 24);
    $("ahead").disabled = Boolean(view.row);
    const move = MOVE_OFFERED[view.timeframe];
    const around = view.lastClose > 0 ? [1 + move, 1 - move].map((factor) => (view.lastClose * factor).toFixed(view.digits)) : [];
    $("prices").value = around.join(" ");
    this.say("");
    this.update();
  }

  /** Enable the buttons and choices that the model and the view allow. */
  update() {
    const why = this.whyNoEvents();
    for (const choice of document.querySelectorAll('input[name="events"]')) {
      choice.disabled = why !== null && choice.value !== "without";
      if (why !== null) choice.checked = choice.value === "without";
    }
    if (why === null && !this.offered) document.querySelector('input[value="with"]').checked = true;
    this.offered = why === null;
    $("events-note").textContent = why ?? "";
    $("go").disabled = !this.running && !(this.model && this.view?.candles.length);
    $("go").textContent = this.running ? "Cancel" : "Run forecast";
  }

  whyNoEvents() {
    if (!this.view?.row) return "Events are built by the flow: choose a stored forecast to run with them.";
    if (!this.inputs) return "What this forecast was made from is not kept any more: only a run without events.";
    if (!this.inputs.events) return "This forecast was made without events.";
    if (this.model && !this.model.has_events) return "The model being served takes no events.";
    return null;
  }

  /** The prices whose probabilities are wanted; NaN among them where one is no number. */
  prices() {
    return [...new Set($("prices").value.split(/[\s;]+/).filter(Boolean).map(Number))];
  }

  /** How much the band that is drawn holds of the paths, in per cent. */
  band() {
    return Number($("band").value);
  }

  request(withEvents) {
    const { view, inputs } = this;
    const { row } = view;
    const predLen = Number($("ahead").value);
    const prices = this.prices();
    const request = {
      symbol: view.symbol, timeframe: view.timeframe, pred_len: predLen,
      // The opening of the first candle forecast: the last one used has closed by then, and no other.
      as_of: row ? row.timestamps[0] : null,
      lookback: inputs?.lookback ?? Math.min(LONGEST_LOOKBACK, this.model.max_context - predLen),
      temperature: inputs?.temperature ?? 1, top_k: inputs?.top_k ?? 0, top_p: inputs?.top_p ?? 1,
      sample_count: Number($("paths").value), seed: Number($("seed").value), return_samples: true,
      quantiles: [50 - this.band() / 2, 50 + this.band() / 2].map((level) => level / 100),
      probabilities: { close_above: prices, touch: prices },
    };
    return withEvents ? { ...request, events: inputs.events, event_schema: inputs.event_schema } : request;
  }

  async run() {
    if (!Number.isSafeInteger(Number($("seed").value))) {
      this.say("The seed must be a whole number of at most 15 digits.", true);
      return;
    }
    if (this.prices().some(Number.isNaN)) {
      this.say("The prices must be numbers such as 1234.5, with spaces between them.", true);
      return;
    }
    const chosen = document.querySelector('input[name="events"]:checked').value;
    const kinds = chosen === "both" ? ["with", "without"] : [chosen];
    this.running = new AbortController();
    const { signal } = this.running;
    const view = this.view;
    const band = this.band();
    this.update();
    this.say("The model is at work …");
    const since = performance.now();
    try {
      const answers = await Promise.all(kinds.map((kind) => api.predict(this.request(kind === "with"), signal)));
      const shown = kinds.length > 1 ? PATHS_COMPARED : PATHS_SHOWN;
      this.onForecasts(view, answers.map((answer, i) => answeredForecast(answer, LOOKS[kinds[i]], shown, band)));
      const warnings = [...new Set(answers.flatMap((answer) => answer.warnings))];
      const took = `Took ${((performance.now() - since) / 1000).toFixed(1)} s.`;
      this.say([took, this.reproduced(kinds, answers), ...warnings].filter(Boolean).join(" "));
    } catch (error) {
      if (error.name === "AbortError") this.say("Cancelled.");
      else {
        this.say(error.message, true);
        this.onRefusal(error);
      }
    } finally {
      this.running = null;
      this.update();
    }
  }

  /** Return whether the run reproduces the stored forecast, if it has the same settings. */
  reproduced(kinds, answers) {
    const { row, inputs } = this.view ? { row: this.view.row, inputs: this.inputs } : {};
    const answer = answers[kinds.indexOf(inputs?.events ? "with" : "without")];
    if (!row || !inputs || !answer || answer.seed !== row.seed || answer.sample_count !== inputs.sample_count) return "";
    if (answer.model.version !== row.model_version) return "The model has changed since the stored forecast.";
    const same = answer.as_of === row.as_of && answer.p50.every((value, step) => Math.abs(value / row.p50[step] - 1) < 1e-6);
    return same
      ? "Same as the stored forecast."
      : "Differs from the stored forecast: its candles or settings are not the same any more.";
  }

  say(text, bad = false) {
    $("run-state").textContent = text;
    $("run-state").classList.toggle("bad", bad);
  }
}
