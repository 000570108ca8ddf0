// Starts ReDoc on the specification named by the element it fills.
import { init } from "./redoc.js";

// ReDoc's footer asks its maker's host for a logo. The page's policy refuses that; here it is not even asked for, and
// ReDoc is told that it failed to load, so that it shows none. The page's own style writes the name instead.
Object.defineProperties(HTMLImageElement.prototype, {
  setAttribute: {
    value(name, value) {
      if (name === "src" && /^https?:/.test(value)) {
        queueMicrotask(() => this.dispatchEvent(new Event("error")));
      } else {
        Element.prototype.setAttribute.call(this, name, value);
      }
    },
  },
  src: {
    get() {
      return this.getAttribute("src") ?? "";
    },
    set(value) {
      this.setAttribute("src", value);
    },
  },
});

// The element has no `spec-url`: with one, ReDoc would start by itself, with telemetry and without sanitizing.
const place = document.querySelector("redoc");

init(place.dataset.specUrl, { disableTelemetry: true, sanitize: true }, place);
