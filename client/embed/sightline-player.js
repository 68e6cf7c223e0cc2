// <sightline-player src token stream protocol codec quality muted stats controls>: one live camera in any page.
//
//   <script type="module" src="https://relay.example/sightline-player.js"></script>
//   <sightline-player stream="yard"></sightline-player>
//
// docs/embedding.md describes attributes, methods and events. The client's build replaces the names in capitals below. The
// script, the module and the style sheet come from the same relay.

import init, { EmbeddedPlayer } from "./CLIENT_JS";

const RELAY = new URL("./", import.meta.url).href;
const loaded = init({ module_or_path: new URL("./CLIENT_WASM", import.meta.url) });
const CHANGE_IN_PLACE = ["protocol", "quality", "muted", "stats", "controls"];
const NEED_ANOTHER = ["src", "token", "stream", "codec"];

class SightlinePlayer extends HTMLElement {
  static observedAttributes = [...NEED_ANOTHER, ...CHANGE_IN_PLACE];

  #player = null;
  #root = null;
  #wanted = false;
  #detail = { state: "stopped" };

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("./CLIENT_CSS", import.meta.url).href;
    this.#root = document.createElement("div");
    this.#root.className = "embed";
    shadow.append(sheet, this.#root);
  }

  /** "connecting", "starting", "live", "stalled", "paused", "offline", "reconnecting", "error"; "stopped" without a player. */
  get state() {
    return this.#detail.state;
  }

  /** The detail of the last event. */
  get detail() {
    return this.#detail;
  }

  /** The <video>, for features that this element does not offer. */
  get video() {
    return this.#root.querySelector("video");
  }

  /** Starts the player, if it is stopped. An element that is added to a page starts by itself. */
  start() {
    this.#wanted = true;
    loaded.then(
      () => {
        if (this.#wanted && !this.#player && this.isConnected) {
          this.#player = new EmbeddedPlayer(this.#root, this.#attributes(), (type, detail) => this.#tell(type, JSON.parse(detail)));
        }
      },
      (error) => {
        const message = `The player could not be loaded: ${error.message ?? error}`;
        this.#root.textContent = message;
        this.#tell("statechange", { state: "error", message });
      },
    );
  }

  /** Closes the connection and releases the video. */
  stop() {
    this.#wanted = false;
    if (this.#player) {
      this.#player.stop();
      this.#player.free();
      this.#player = null;
      this.#tell("statechange", { state: "stopped" });
    }
  }

  /** The frame on screen as a PNG: a Promise of a Blob. */
  async snapshot() {
    if (!this.#player) throw new Error("There is no frame yet.");
    return this.#player.snapshot();
  }

  connectedCallback() {
    this.start();
  }

  disconnectedCallback() {
    // An element that moves within the page is connected again at once.
    queueMicrotask(() => this.isConnected || this.stop());
  }

  attributeChangedCallback(name, before, now) {
    if (!this.#player || before === now) return;
    if (CHANGE_IN_PLACE.includes(name)) {
      this.#player.update(this.#attributes());
    } else {
      this.stop();
      this.start();
    }
  }

  #attributes() {
    const text = (name) => this.getAttribute(name) ?? "";
    return JSON.stringify({
      src: text("src") ? new URL(text("src"), document.baseURI).href.replace(/\/?$/, "/") : RELAY,
      token: text("token") || null,
      // Stream names are in Unicode Normalization Form C.
      stream: text("stream").normalize(),
      protocol: text("protocol"),
      codec: text("codec"),
      quality: text("quality"),
      muted: text("muted") !== "false",
      stats: this.hasAttribute("stats"),
      controls: text("controls") !== "none",
    });
  }

  #tell(type, detail) {
    this.#detail = detail;
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

customElements.define("sightline-player", SightlinePlayer);
