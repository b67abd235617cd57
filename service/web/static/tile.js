// One upload as a card. Names, keys and messages are untrusted: they become text nodes, never markup.

import { element, milliseconds, seconds, sentence, timeSince } from "./format.js";
import { companyName } from "./names.js";
import { paint } from "./thumbhash.js";

const STAGES = ["read", "decode", "render", "upload"];

// `onReplay(tile, button, said)` is given where replays are allowed; a replay that fails again is not offered.
export function buildTile(tile, onReplay) {
  const title = `tile-${tile.key}`;
  const isFailed = tile.state === "failed";
  const body = element(
    "div",
    { class: "body" },
    element("h3", { id: title, tabindex: "-1", title: tile.path }, tile.name),
    element("p", { class: "where" }, companyName(tile.company), " · ", timeSince(tile.produced_at)),
    ...(isFailed ? failure(tile, onReplay) : success(tile)),
  );
  const article = element("article", { "aria-labelledby": title }, isFailed ? reason(tile) : picture(tile), body);
  return element("li", { class: "tile", "data-state": tile.state, "data-key": tile.key, "data-media": tile.media }, article);
}

function chip(state) {
  return element("span", { class: "chip" }, state);
}

function picture(tile) {
  const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
  const painted = paint(canvas, tile.placeholder);
  const frame = element("div", { class: "picture" }, canvas, tile.state === "ready" ? null : chip(tile.state));
  if (painted?.hasAlpha) frame.classList.add("see-through");
  if (tile.image) {
    const size = { width: tile.width, height: tile.height };
    const image = element("img", { alt: `Thumbnail of ${tile.name}`, ...size, decoding: "async", referrerpolicy: "no-referrer" });
    image.addEventListener("load", () => frame.classList.add("loaded"));
    image.addEventListener("error", () => {
      image.remove();
      frame.after(note("Only the placeholder is shown: the picture is private, or its storage is out of reach."));
    });
    image.src = tile.image;
    canvas.after(image);
  }
  return frame;
}

function note(words) {
  return element("p", { class: "note" }, words);
}

function success(tile) {
  const { frame, source, timings_ms: took } = tile;
  const facts = [
    ["Upload", tile.media],
    ["Frame", frame.time_s === null ? null : seconds(frame.time_s)],
    ["Score", frame.score === null ? null : frame.score.toFixed(2)],
    ["Candidates", frame.candidates],
    ["Method", frame.method],
    ["Source", `${source.width}×${source.height} ${source.codec}`],
    ["Storage", tile.fallback ? `${tile.storage}, fallback` : tile.storage],
    ["Attempt", tile.attempt > 1 ? tile.attempt : null],
  ];
  return [
    tile.note ? note(tile.note) : null,
    tile.fallback ? note(`In local storage, not in the company's own: ${tile.fallback}`) : null,
    folded(factList(facts), timings(took)),
  ];
}

// Of interest to who develops the pipeline.
function folded(...parts) {
  return element("details", { class: "facts-fold" }, element("summary", {}, "Details"), ...parts);
}

function factList(facts) {
  const known = facts.filter(([, value]) => value !== null);
  const pairs = known.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value))));
  return element("dl", { class: "facts" }, ...pairs);
}

// A bar for the eye; the words below it say the same.
function timings(took) {
  const bar = element("div", { class: "bar", "aria-hidden": "true" });
  for (const stage of STAGES) {
    const part = element("span", { class: stage });
    part.style.flexGrow = String(Math.max(took[stage], 0));
    bar.append(part);
  }
  const words = STAGES.map((stage) => element("span", { class: stage }, `${stage} ${Math.round(took[stage])}`));
  return element("div", { class: "timings" }, bar, element("p", {}, element("b", {}, milliseconds(took.total)), ...words));
}

function reason(tile) {
  return element("div", { class: "reason" }, element("strong", {}, tile.code), chip("failed"));
}

function failure(tile, onReplay) {
  const facts = [["Upload", tile.media], ["Failed at", tile.stage], ["Attempts", tile.attempts]];
  const parts = [
    element("p", { class: "message" }, tile.message),
    element("p", { class: "next" }, element("b", {}, "What to do: "), ...sentence(tile.next_action)),
    element("button", { type: "button", class: "more", hidden: "" }),
    folded(factList(facts)),
  ];
  if (onReplay && !tile.fails_again) {
    const said = element("p", { class: "said", role: "status" });
    const button = element("button", { type: "button", "aria-describedby": `tile-${tile.key}` }, "Replay");
    button.addEventListener("click", () => onReplay(tile, button, said));
    parts.splice(2, 0, button, said);
  }
  return parts;
}
