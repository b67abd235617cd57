// Puts the parts together: events in, cards, words and numbers out.

import { Board } from "./board.js";
import { showFailures } from "./failures.js";
import { Filters } from "./filters.js";
import { element, plural, refreshAges, sentence } from "./format.js";
import { companyInText, learnNames } from "./names.js";
import { showOverview } from "./overview.js";
import { Stream } from "./stream.js";
import { showTables } from "./tables.js";

const AGES_MS = 5_000;
const GHOSTS = 8;
const find = (id) => document.getElementById(id);
const [link, pause, count, said, empty] = ["link", "pause", "count", "said", "empty"].map(find);

let kafka = { state: "connecting" };
let overview = null;
let isConnected = false;
let wasConnected = false;
let csrfToken = null;
let board = null;

const filters = new Filters(find("filters"), (byHand = false) => {
  if (!board) return;
  board.render();
  describe();
  if (byHand) said.textContent = count.textContent; // not for each upload that comes: that would never end
});
board = new Board(find("tiles"), filters, null, showCode);

function showCode(code) {
  filters.set("code", code);
  find("uploads").scrollIntoView();
}

function describe() {
  const all = [...board.known.values()].map(({ tile }) => tile);
  const failed = all.filter((tile) => tile.state === "failed");
  const shown = filters.isActive ? `${board.shown?.length ?? 0} of ${all.length}` : all.length.toLocaleString();
  count.textContent = all.length ? `${shown} shown, ${failed.length} failed${whose(failed)}` : "";
  showEmptiness(all.length);
  filters.form.hidden = !all.length && !filters.isActive;
  const held = board.held.size ? ` (${board.held.size} new)` : "";
  pause.textContent = board.isPaused ? `Resume${held}` : "Pause";
  filters.offer("company", [...new Set(all.map((tile) => tile.company))]);
  learnNames();
  showState();
}

// Not known yet, none at all, and none that matches are three different things.
function showEmptiness(total) {
  const kind = board.shown?.length ? "" : total ? "unmatched" : isConnected && kafka.state === "live" ? "none" : "loading";
  empty.hidden = !kind;
  if (empty.dataset.kind === kind && empty.childNodes.length) return;
  empty.dataset.kind = kind;
  if (kind === "loading") return empty.replaceChildren(...Array.from({ length: GHOSTS }, () => element("span", { class: "ghost" })));
  const words = {
    none: ["No upload yet.", "Each one appears here by itself. To send one: `thumbnails publish FILE --company 1`"],
    unmatched: ["No upload matches the filters.", ""],
    "": ["", ""],
  };
  const [first, second] = words[kind];
  return empty.replaceChildren(element("strong", {}, first), element("span", {}, ...sentence(second)));
}

// One company's files, or everybody's: the first thing to know of many failures.
function whose(failed) {
  const companies = [...new Set(failed.map((tile) => tile.company))];
  if (failed.length < 2) return "";
  return companies.length === 1 ? `, all of ${companyInText(companies[0])}` : `, of ${companies.length} ${plural(companies.length, "company", "companies")}`;
}

function showState() {
  const state = isConnected ? kafka.state : wasConnected ? "reconnecting" : "connecting";
  const words = { live: "Live", connecting: "Connecting…", away: "Kafka is away", missing: "No topics", reconnecting: "Reconnecting…" };
  document.body.dataset.link = state;
  if (link.textContent !== words[state]) link.textContent = words[state];
  showOverview(find("overview"), { link: kafka, isConnected, wasConnected, overview, tiles: board.known.size });
  const counts = new Map();
  for (const { tile } of board.known.values()) if (tile.code) counts.set(tile.code, (counts.get(tile.code) ?? 0) + 1);
  showFailures(find("failing"), overview, counts, showCode);
}

async function replay(tile, button, words) {
  button.disabled = true;
  words.textContent = "Replaying…";
  try {
    const answer = await fetch(`/replay/${tile.key}`, { method: "POST", headers: { "x-csrf-token": csrfToken } });
    const { outcome, sentence: result } = await answer.json();
    words.dataset.outcome = outcome;
    words.textContent = result;
    button.disabled = ["replayed", "parked", "done_before"].includes(outcome);
  } catch {
    words.dataset.outcome = "failed";
    words.textContent = "The page's server did not answer. Nothing is known of the replay: try again.";
    button.disabled = false;
  }
}

function showUnreadable(number) {
  const line = find("unreadable");
  line.hidden = !number;
  line.textContent = `${number} records were no results that this version reads: see \`thumbnails dlq list --topic ready\`.`;
}

function takeOverview(found) {
  overview = found;
  showTables(find("topics"), overview);
  showState();
}

const handlers = {
  snapshot(all) {
    csrfToken = all.csrf_token;
    board.onReplay = csrfToken ? replay : null;
    kafka = all.link;
    learnNames(all.names);
    filters.offer("code", all.codes);
    board.replaceAll(all.tiles, all.max_tiles);
    takeOverview(all.overview);
    showUnreadable(all.unreadable);
    describe();
  },
  tiles(tiles) {
    board.add(tiles);
    describe();
  },
  link(state) {
    kafka = state;
    describe();
  },
  names(found) {
    learnNames(found);
    describe();
  },
  overview: takeOverview,
  unreadable: showUnreadable,
};

pause.addEventListener("click", () => {
  if (board.isPaused) board.resume();
  else board.isPaused = true;
  describe();
});
setInterval(() => refreshAges(), AGES_MS);
describe();
new Stream(handlers, (isOpen) => {
  isConnected = isOpen;
  wasConnected ||= isOpen;
  describe();
});
