// Words and elements. Everything that comes from events goes through `text` or `element`: never through markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function seconds(value) {
  if (value < 60) return `${value.toFixed(2)} s`;
  const minutes = Math.floor(value / 60);
  return `${minutes}:${(value % 60).toFixed(0).padStart(2, "0")} min`;
}

export function milliseconds(value) {
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function ago(moment, now = Date.now()) {
  const past_s = Math.max(0, Math.round((now - moment) / 1000));
  if (past_s < 60) return `${past_s} s ago`;
  if (past_s < 3600) return `${Math.floor(past_s / 60)} min ago`;
  if (past_s < 48 * 3600) return `${Math.floor(past_s / 3600)} h ago`;
  return `${Math.floor(past_s / 86_400)} days ago`;
}

const SOON_S = 20; // what is shown is so old at most

// When what waits is due: «in 9 s», «due now», «due 2 min ago».
export function due(iso, now = Date.now()) {
  const left_s = Math.round((Date.parse(iso) - now) / 1000);
  if (left_s <= 0) return left_s > -SOON_S ? "due now" : `due ${ago(Date.parse(iso), now)}`;
  return left_s < 120 ? `in ${left_s} s` : `in ${Math.round(left_s / 60)} min`;
}

export function plural(count, one, many) {
  return count === 1 ? one : many;
}

// Text in which `what is typed` stands between backticks, as nodes.
export function sentence(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

export function clock(iso) {
  const moment = new Date(iso);
  const isToday = moment.toDateString() === new Date().toDateString();
  const time = moment.toLocaleTimeString([], { hour12: false });
  return isToday ? time : `${moment.toLocaleDateString()} ${time}`;
}

export function timeSince(iso) {
  const moment = Date.parse(iso);
  return element("time", { datetime: iso, title: new Date(moment).toLocaleString(), "data-age": "" }, ago(moment));
}

export function refreshAges(root = document) {
  for (const time of root.querySelectorAll("time[data-age]")) {
    const words = ago(Date.parse(time.dateTime));
    if (time.textContent !== words) time.textContent = words;
  }
}
