// How it is going: one headline, what needs attention, six figures. Three states look different: not known yet, cut off, known.

import { clock, due, element, plural, sentence } from "./format.js";
import { companyInText, withNames } from "./names.js";

const WAITING = /\.retry\.\d+$|cleanup\.waiting$/;

// `link` is Kafka's state, `isConnected` whether this page's server answers; `overview` may be null.
export function showOverview(section, { link, isConnected, wasConnected, overview, tiles }) {
  const { mood, headline, advice, attention } = words(link, isConnected, wasConnected, overview, tiles);
  section.dataset.mood = mood;
  fill(section.querySelector("#headline"), headline);
  const line = section.querySelector("#advice");
  fill(line, advice);
  line.hidden = !advice.length;
  fill(section.querySelector("#attention"), attention.map((text) => element("li", {}, ...sentence(withNames(text)))));
  fill(section.querySelector("#figures"), overview ? figures(overview) : []);
}

function words(link, isConnected, wasConnected, overview, tiles) {
  const found = (mood, headline, advice = [], attention = []) => ({ mood, headline: [headline].flat(), advice, attention });
  const time = (iso) => element("time", { datetime: iso }, clock(iso));
  if (!isConnected && !wasConnected) return found("waiting", "Connecting…");
  if (!isConnected) {
    return found("away", "The page's server does not answer", ["What is below is as of the last answer. It goes on by itself when the server is back."]);
  }
  if (link.state === "connecting") return found("waiting", "Connecting to Kafka…");
  if (link.state === "away") {
    return found("away", ["Kafka is away since ", time(link.since)], sentence(`${link.hint} What is below is as of then.`), lostRoles(overview));
  }
  if (link.state === "missing") return found("away", "The topics are missing", sentence(link.hint));
  if (!overview) return found("waiting", "Looking at the installation…");
  if (overview.ok) {
    const isNew = !tiles && !overview.throughput?.ready && !overview.throughput?.failed;
    return found("well", isNew ? "Ready for the first upload" : "All is well");
  }
  const first = overview.things > 1 && !overview.attention.length ? overview.failures.find((group) => group.is_urgent) : null;
  return found("trouble", trouble(overview), first ? [`Most of all: ${inShort(first)}.`] : [], overview.attention);
}

function lostRoles(overview) {
  return (overview?.attention ?? []).filter((text) => !text.startsWith("No Kafka broker"));
}

function trouble(overview) {
  const urgent = overview.failures.filter((group) => group.is_urgent);
  if (overview.things !== 1 || urgent.length !== 1) return `${overview.things} ${plural(overview.things, "thing needs", "things need")} attention`;
  return inShort(urgent[0]);
}

function inShort(group) {
  const count = group.waiting
    ? `${group.waiting.toLocaleString()} ${plural(group.waiting, "dead letter", "dead letters")}`
    : `${group.retrying.toLocaleString()} ${plural(group.retrying, "record waits", "records wait")} for a retry`;
  return `${count}: ${group.code}, ${whose(group)}`;
}

export function whose(group) {
  const { companies } = group;
  if (companies.length === 1) return `all of ${companyInText(companies[0].company_id)}`;
  const named = companies.slice(0, 3).map((row) => `${companyInText(row.company_id)} (${row.count})`);
  return `of ${companies.length} companies: ${named.join(", ")}${companies.length > 3 ? ", …" : ""}`;
}

function figures({ throughput, topics, retries, dead_letters_waiting: dead, roles }) {
  const groups = (topics ?? []).filter(({ name }) => !WAITING.test(name)).flatMap((topic) => topic.groups);
  const lag = groups.reduce((sum, group) => sum + group.lag_records, 0);
  const oldest_s = Math.max(0, ...groups.map((group) => group.lag_seconds));
  const waiting = (retries ?? []).reduce((sum, row) => sum + row.waiting, 0);
  const dues = (retries ?? []).map((row) => row.next_due_at).filter(Boolean).sort();
  const ready = roles.filter((role) => role.ok).length;
  const minutes = throughput ? Math.max(1, Math.round(throughput.window_s / 60)) : 5;
  const within = `in ${minutes} min`;
  return [
    figure("ready", throughput?.ready, within),
    figure("failed", throughput?.failed, within, throughput?.failed > 0),
    figure("queued", topics && lag, lag ? `oldest ${Math.round(oldest_s)} s` : "no lag"),
    figure("retrying", retries && waiting, dues.length ? `next ${due(dues[0])}` : "none waits"),
    figure("dead letters", dead, dead ? "wait for you" : "none waits", dead > 0),
    figure("roles", roles.length ? `${ready} of ${roles.length}` : null, roles.length ? "ready" : "not asked", ready < roles.length),
  ];
}

function figure(name, value, note, isBad = false) {
  const text = value === null || value === undefined ? "–" : value.toLocaleString();
  return element("div", { "data-bad": isBad ? "" : null }, element("dt", {}, name), element("dd", {}, text, element("small", {}, note)));
}

// What is selected stays selected, and a reader of the screen says only what is new.
function fill(node, parts) {
  const made = element("div", {}, ...parts);
  if (node.textContent !== made.textContent) node.replaceChildren(...made.childNodes);
}
