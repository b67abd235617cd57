// The server's events, through every outage: it goes on after the last one seen, and notices a connection that is silent.

const SILENCE_MS = 25_000; // the server sends a beat every 10 s
const AGAIN_MS = 2_000;

export class Stream {
  constructor(handlers, onState) {
    this.handlers = handlers;
    this.onState = onState;
    this.lastId = "";
    this.#open();
    setInterval(() => {
      if (Date.now() - this.heardAt > SILENCE_MS) this.#open();
    }, 1000);
  }

  #open() {
    this.source?.close();
    this.heardAt = Date.now();
    // A source of its own sends no Last-Event-ID the first time.
    const source = (this.source = new EventSource(this.lastId ? `/events?last=${encodeURIComponent(this.lastId)}` : "/events"));
    source.onopen = () => {
      this.heardAt = Date.now();
      this.onState(true);
    };
    source.onerror = () => {
      this.onState(false);
      if (source.readyState === EventSource.CLOSED && source === this.source) this.#refused();
    };
    for (const [name, handle] of Object.entries({ beat: () => {}, ...this.handlers })) {
      source.addEventListener(name, (event) => {
        this.heardAt = Date.now();
        this.lastId = event.lastEventId || this.lastId;
        handle(JSON.parse(event.data));
      });
    }
  }

  // An answer that is no stream: the session may be over, or the server be full.
  async #refused() {
    const answer = await fetch("/", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401) location.assign("/login");
    else setTimeout(() => this.#open(), AGAIN_MS);
  }
}
