// Puts the parts together: events in, cards, words and numbers out.

import { Board } from "./board.js";
import { Filters } from "./filters.js";
import { clock, element, refreshAges } from "./format.js";
import { Stream } from "./stream.js";
import { showTopics } from "./topics.js";

const AGES_MS = 5_000;
const find = (id) => document.getElementById(id);
const [link, pause, count, said, empty] = ["link", "pause", "count", "said", "empty"].map(find);

let kafka = { state: "connecting" };
let isConnected = false;
let csrfToken = null;
let board = null;

const filters = new Filters(find("filters"), (byHand = false) => {
  if (!board) return;
  board.render();
  describe();
  if (byHand) said.textContent = count.textContent; // not for each upload that comes: that would never end
});
board = new Board(find("tiles"), filters, null);

function describe() {
  const all = [...board.known.values()].map(({ tile }) => tile);
  const failed = all.filter((tile) => tile.state === "failed");
  count.textContent = `${board.shown?.length ?? 0} of ${all.length} shown, ${failed.length} failed${whose(failed)}`;
  empty.hidden = Boolean(board.shown?.length);
  empty.textContent = all.length ? "No upload matches the filters." : "No result yet. Each one appears here by itself.";
  const held = board.held.size ? ` (${board.held.size} new)` : "";
  pause.textContent = board.isPaused ? `Resume${held}` : "Pause";
  filters.offer("company", [...new Set(all.map((tile) => tile.company))]);
}

// One company's files, or everybody's: the first thing to know of many failures.
function whose(failed) {
  const companies = [...new Set(failed.map((tile) => tile.company))];
  if (failed.length < 2) return "";
  return companies.length === 1 ? `, all of company ${companies[0]}` : `, of ${companies.length} companies`;
}

function showLink() {
  const since = () => element("time", { datetime: kafka.since }, clock(kafka.since));
  const words = {
    live: () => ["Live"],
    connecting: () => ["Connecting to Kafka…"],
    away: () => ["Kafka is away since ", since(), `; what is below is as of then. ${kafka.hint}`],
    missing: () => [kafka.hint],
  };
  const state = isConnected ? kafka.state : "reconnecting";
  link.dataset.state = state;
  link.replaceChildren(...(isConnected ? words[kafka.state]() : ["Reconnecting…"]));
}

async function replay(tile, button, words) {
  button.disabled = true;
  words.textContent = "Replaying…";
  try {
    const answer = await fetch(`/replay/${tile.key}`, { method: "POST", headers: { "x-csrf-token": csrfToken } });
    const { outcome, sentence } = await answer.json();
    words.dataset.outcome = outcome;
    words.textContent = sentence;
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

const handlers = {
  snapshot(all) {
    csrfToken = all.csrf_token;
    board.onReplay = csrfToken ? replay : null;
    kafka = all.link;
    filters.offer("code", all.codes);
    board.replaceAll(all.tiles, all.max_tiles);
    showTopics(find("topics"), all.topics);
    showUnreadable(all.unreadable);
    showLink();
    describe();
  },
  tiles(tiles) {
    board.add(tiles);
    describe();
  },
  link(state) {
    kafka = state;
    showLink();
  },
  topics: (state) => showTopics(find("topics"), state),
  unreadable: showUnreadable,
};

pause.addEventListener("click", () => {
  if (board.isPaused) board.resume();
  else board.isPaused = true;
  describe();
});
setInterval(() => refreshAges(), AGES_MS);
new Stream(handlers, (isOpen) => {
  isConnected = isOpen;
  showLink();
});
