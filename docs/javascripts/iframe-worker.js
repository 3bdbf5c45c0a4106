// Browsers refuse a worker from a file. When the site is read without a server, an iframe takes the
// worker's place, so that the search works. It is loaded in place of a script from another host.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      inner.postMessage = (data) => this.deliver(this, data);
      inner.importScripts = (...urls) => urls.forEach((each) => this.load(each));
      this.load(url).onload = () => {
        this.waiting.splice(0).forEach((data) => this.deliver(inner, data));
        this.waiting = null;
      };
    }
    load(url) {
      const script = this.frame.contentDocument.createElement("script");
      script.async = false;
      script.src = new URL(url, location.href).href;
      this.frame.contentDocument.body.append(script);
      return script;
    }
    deliver(target, data) {
      // Later and as a copy, as a worker would get it.
      const event = new MessageEvent("message", { data: structuredClone(data) });
      setTimeout(() => {
        if (target === this && this.onmessage) this.onmessage(event);
        else target.dispatchEvent(event);
      });
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(this.frame.contentWindow, data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
