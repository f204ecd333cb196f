// Shared by the browser scripts: code that runs in a page before its own scripts.

// Records the close codes of all WebSockets in `window.closeCodes`.
function recordCloseCodes() {
  window.closeCodes = [];
  window.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url);
      this.addEventListener('close', ({ code }) => window.closeCodes.push(code));
    }
  };
}

module.exports = { recordCloseCodes };
