// One upload as a card. Names, keys and messages are untrusted: they become text nodes, never markup.

import { element, milliseconds, seconds, timeSince } from "./format.js";
import { paint } from "./thumbhash.js";

const STAGES = ["read", "decode", "render", "upload"];

// `onReplay(tile, button, said)` is given where replays are allowed.
export function buildTile(tile, onReplay) {
  const title = `tile-${tile.key}`;
  const isFailed = tile.state === "failed";
  const body = element(
    "div",
    { class: "body" },
    element("h3", { id: title, tabindex: "-1", title: tile.path }, tile.name),
    element("p", { class: "where" }, `Company ${tile.company} · ${tile.media} · `, timeSince(tile.produced_at)),
    ...(isFailed ? failure(tile, onReplay) : success(tile)),
  );
  const article = element("article", { "aria-labelledby": title }, isFailed ? reason(tile) : picture(tile), body);
  return element("li", { class: "tile", "data-state": tile.state, "data-key": tile.key }, article);
}

function chip(state) {
  return element("span", { class: "chip" }, state);
}

function picture(tile) {
  const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
  const painted = paint(canvas, tile.placeholder);
  const frame = element("div", { class: "picture" }, canvas, chip(tile.state));
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
    ["Frame", frame.time_s === null ? null : seconds(frame.time_s)],
    ["Score", frame.score === null ? null : frame.score.toFixed(2)],
    ["Candidates", frame.candidates],
    ["Method", frame.method],
    ["Source", `${source.width}×${source.height} ${source.codec}`],
    ["Storage", tile.fallback ? `${tile.storage}, fallback` : tile.storage],
    ["Attempt", tile.attempt > 1 ? tile.attempt : null],
  ];
  return [factList(facts), timings(took), tile.note ? note(tile.note) : null, tile.fallback ? note(`Fallback: ${tile.fallback}`) : null];
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
  const words = [element("strong", {}, tile.code), element("span", {}, `at ${tile.stage}, attempt ${tile.attempts}`)];
  return element("div", { class: "picture reason" }, ...words, chip("failed"));
}

function failure(tile, onReplay) {
  const parts = [
    element("p", { class: "message" }, tile.message),
    element("p", { class: "next" }, element("b", {}, "What to do: "), tile.next_action),
  ];
  if (onReplay) {
    const said = element("p", { class: "said", role: "status" });
    const button = element("button", { type: "button", "aria-describedby": `tile-${tile.key}` }, "Replay");
    button.addEventListener("click", () => onReplay(tile, button, said));
    parts.push(button, said);
  }
  return parts;
}
