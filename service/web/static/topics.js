// The topics' state as a table, with its sum in the summary.

import { clock, element } from "./format.js";

export function showTopics(details, state) {
  if (!state) return;
  const waiting = state.topics.flatMap((topic) => topic.groups).reduce((sum, group) => sum + group.lag_records, 0);
  const summary = `${waiting ? `${waiting.toLocaleString()} ${waiting === 1 ? "record waits" : "records wait"}` : "nothing waits"}, as of ${clock(state.at)}`;
  details.querySelector("#topics-summary").textContent = summary;
  details.querySelector("tbody").replaceChildren(...state.topics.flatMap(rows));
}

function rows(topic) {
  const groups = topic.groups.length ? topic.groups : [null];
  return groups.map((group) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, topic.name),
      element("td", { class: "number" }, String(topic.partitions)),
      element("td", { class: "number" }, topic.records.toLocaleString()),
      element("td", {}, group?.group ?? "–"),
      element("td", { class: "number" }, group ? group.lag_records.toLocaleString() : "–"),
      element("td", {}, group?.oldest_unprocessed_at ? clock(group.oldest_unprocessed_at) : "–"),
    ),
  );
}
